from .linting import lint as lint
from .records import Record as Record, Turn as Turn, record_of as record_of
from .report import Example as Example, LintReport as LintReport, Tally as Tally
from .shadow import THRESHOLD as THRESHOLD, Judged as Judged, judge as judge
from .shared import Shared as Shared
