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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
