"""News items and their questions: the objects, their files, and checks.

- `schema`    News, Question, Selection and Cloze, and their validation
- `reader`    `read_news` and `write_news`: a file is read completely or not at all
- `encodings` bytes to text: compressed or not, UTF-8, UTF-16 or UTF-32
- `formats`   JSON Lines and YAML to rows with line numbers
- `records`   rows to objects and back
- `problems`  error messages by line and field
- `checks`    warnings about valid news items, and counts
- `injection` text in a source that addresses a model
- `writing`   the lines of a news file
- `importers` documents, tables and data sets to a news file
- `surface`   cues that the texts alone give away
- `bundled`   the news items bundled with the package
"""

from sys2ft.news.bundled import bundled_lines, bundled_names, bundled_news, load_news
from sys2ft.news.checks import check, question_counts
from sys2ft.news.injection import Instruction, instructions_in
from sys2ft.news.reader import read_news, write_news
from sys2ft.news.records import news_from_dict, news_to_dict
from sys2ft.news.schema import GRADERS, KINDS, Cloze, Grader, Kind, News, Question, Selection, selection_of
from sys2ft.news.surface import Found, Surface, surface

__all__ = [
    "GRADERS",
    "KINDS",
    "Cloze",
    "Found",
    "Grader",
    "Instruction",
    "Kind",
    "News",
    "Question",
    "Selection",
    "Surface",
    "bundled_lines",
    "bundled_names",
    "bundled_news",
    "check",
    "instructions_in",
    "load_news",
    "news_from_dict",
    "news_to_dict",
    "question_counts",
    "read_news",
    "selection_of",
    "surface",
    "write_news",
]
