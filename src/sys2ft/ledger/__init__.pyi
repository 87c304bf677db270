from .book import Ledger as Ledger
from .entries import Change as Change, Entry as Entry, NewsScore as NewsScore
from .settings import DEFAULTS as DEFAULTS, LedgerSettings as LedgerSettings, UpdateSettings as UpdateSettings
