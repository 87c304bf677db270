"""News and their questions: the objects, reading and writing files of them, and checking them.

- `schema`    News and Question, and what makes them valid
- `reader`    `read_news` and `write_news`: a file is read as a whole or not at all
- `formats`   JSON Lines and YAML to rows that know their lines
- `records`   rows to objects and back
- `problems`  what is wrong, said by line and field
- `checks`    warnings about valid news, and counts
- `injection` text in a source that speaks to a model instead of telling news
- `writing`   a news file that appears whole or not at all
- `importers` documents, tables and data sets to a news file
- `bundled`   the news that come with the package
"""

from sys2ft.news.bundled import bundled_names, bundled_news
from sys2ft.news.checks import check, question_counts
from sys2ft.news.injection import Instruction, instructions_in
from sys2ft.news.reader import read_news, write_news
from sys2ft.news.records import news_from_dict, news_to_dict
from sys2ft.news.schema import GRADERS, KINDS, Grader, Kind, News, Question

__all__ = [
    "GRADERS",
    "KINDS",
    "Grader",
    "Instruction",
    "Kind",
    "News",
    "Question",
    "bundled_names",
    "bundled_news",
    "check",
    "instructions_in",
    "news_from_dict",
    "news_to_dict",
    "question_counts",
    "read_news",
    "write_news",
]
