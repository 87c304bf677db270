from .chosen import Chosen as Chosen, choose as choose
from .exporting import Exported as Exported, export as export
from .proof import Proof as Proof
from .settings import KINDS as KINDS, ExportSettings as ExportSettings
