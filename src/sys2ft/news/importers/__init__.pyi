from .pipeline import digests as digests, import_news as import_news, total_bytes as total_bytes
from .settings import FORMS as FORMS, Form as Form, ImportSettings as ImportSettings
from .summary import ImportSummary as ImportSummary
from .web import is_address as is_address
