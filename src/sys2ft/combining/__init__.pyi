from .merging import merge as merge
from .probes import Retrieved as Retrieved, with_retrieved_text as with_retrieved_text, with_route as with_route
from .retrieval import Retriever as Retriever
from .settings import MERGES as MERGES, WAYS as WAYS, CompareSettings as CompareSettings
