from .errors import (
    ModelError as ModelError,
    NewsError as NewsError,
    SettingsError as SettingsError,
    StorageError as StorageError,
    Sys2ftError as Sys2ftError,
    UserError as UserError,
)
from .evaluation import EvaluateSettings as EvaluateSettings, Prediction as Prediction, evaluate as evaluate
from .job import Result as Result, run as run
from .ledger import Ledger as Ledger
from .models import LoadedModel as LoadedModel, load_model as load_model
from .news import News as News, Question as Question, bundled_news as bundled_news, read_news as read_news
from .news.importers import ImportSettings as ImportSettings, import_news as import_news
from .probing import ProbeSettings as ProbeSettings, probe as probe
from .replay import (
    GenerateSettings as GenerateSettings,
    Replay as Replay,
    ReplayElement as ReplayElement,
    generate as generate,
)
from .representations import RepresentSettings as RepresentSettings, Study as Study, represent as represent
from .training import Training as Training, TrainItem as TrainItem, TrainSettings as TrainSettings, train as train

__version__: str
