"""Room `report`: tables, figures and one self-contained page, each a pure function of a run folder.

matplotlib and jinja2 are imported by `write_report` when it is called, and by nothing else here; what concerns
representations is imported when its name is used, since it brings the engine.
"""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents
from sys2ft.report.artifacts import Artifacts, read_artifacts
from sys2ft.report.page import write_report
from sys2ft.report.summary import Block, Cost, Measured, Row, Summary, summarise, write_scores
from sys2ft.report.table import markdown_table, terminal_table, yield_table
from sys2ft.report.words import headline, number

if TYPE_CHECKING:
    from sys2ft.report.represent_page import write_represent_report
    from sys2ft.report.represent_table import represent_tables

__all__ = [
    "Artifacts",
    "Block",
    "Cost",
    "Measured",
    "Row",
    "Summary",
    "headline",
    "markdown_table",
    "number",
    "read_artifacts",
    "represent_tables",
    "summarise",
    "terminal_table",
    "write_report",
    "write_represent_report",
    "write_scores",
    "yield_table",
]

__getattr__ = contents(__name__, {"represent_tables": "represent_table", "write_represent_report": "represent_page"})
