"""What users have (documents, tables, data sets) to a news file.

- `pipeline`    `import_news`: files and folders to one file, duplicates, what was left out and why
- `settings`    ImportSettings
- `passages`    documents to passages at sentence borders, below a budget of tokens
- `sentences`   sentences of a text (sentencex)
- `pieces`      what a reader yields; packages of the extra `import`
- `texts`, `markdown`, `html`, `pdf`, `docx`   documents to blocks under their titles
- `tables`, `json_files`                       CSV, JSON Lines and JSON to rows and records
- `records`     data sets by the fields of their records
"""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.news.importers.pipeline import ImportSummary, import_news, total_bytes
    from sys2ft.news.importers.settings import FORMS, Form, ImportSettings

__all__ = ["FORMS", "Form", "ImportSettings", "ImportSummary", "import_news", "total_bytes"]

__getattr__ = contents(
    __name__,
    {
        "FORMS": "settings",
        "Form": "settings",
        "ImportSettings": "settings",
        "ImportSummary": "pipeline",
        "import_news": "pipeline",
        "total_bytes": "pipeline",
    },
)
