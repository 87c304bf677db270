from .checkpoint import Checkpoint as Checkpoint
from .choices import (
    files_named as files_named,
    learner_of as learner_of,
    objective_of as objective_of,
    reads_news as reads_news,
)
from .ending import describe_end as describe_end
from .jobs import AdapterJob as AdapterJob, TrainItem as TrainItem, banks as banks, jobs_of as jobs_of
from .loop import CURVE as CURVE, train as train
from .needs import training_needs as training_needs
from .result import Training as Training
from .settings import FREE as FREE, JOINT as JOINT, TrainSettings as TrainSettings
from .sizes import rank_of as rank_of, rate_of as rate_of, sized as sized
from .teacher import (
    messages_of as messages_of,
    require_teacher as require_teacher,
    require_use_of_teacher as require_use_of_teacher,
)
from .watching import Watch as Watch
