from .book import Ledger as Ledger
from .entries import Change as Change, Entry as Entry, NewsScore as NewsScore
from .settings import EVALUATE as EVALUATE, GENERATE as GENERATE, TRAIN as TRAIN, UpdateSettings as UpdateSettings
