from .artifacts import Artifacts as Artifacts, read_artifacts as read_artifacts
from .page import write_report as write_report
from .summary import (
    Block as Block,
    Cost as Cost,
    Measured as Measured,
    Row as Row,
    Summary as Summary,
    summarise as summarise,
    write_scores as write_scores,
)
from .table import markdown_table as markdown_table, terminal_table as terminal_table, yield_table as yield_table
from .verdict import headline as headline, lost as lost
from .words import number as number, power_line as power_line
