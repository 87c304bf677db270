from .checkpoint import Checkpoint as Checkpoint
from .choices import learner_of as learner_of, objective_of as objective_of
from .ending import describe_end as describe_end
from .jobs import AdapterJob as AdapterJob, TrainItem as TrainItem, banks as banks, jobs_of as jobs_of
from .loop import train as train
from .needs import training_needs as training_needs
from .result import Training as Training
from .settings import FREE as FREE, JOINT as JOINT, TrainSettings as TrainSettings
from .sizes import rank_of as rank_of, rate_of as rate_of, sized as sized
