from .checkpoint import Checkpoint as Checkpoint
from .ending import told as told
from .loop import Training as Training, TrainItem as TrainItem, train as train
from .settings import FREE as FREE, JOINT as JOINT, TrainSettings as TrainSettings
