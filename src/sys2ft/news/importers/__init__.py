"""Import documents, tables and data sets into a news file.

- `pipeline`    `import_news`: files and folders to one file; duplicates, omissions and their reasons
- `settings`    ImportSettings
- `passages`    documents to passages at sentence boundaries, within a token budget
- `sentences`   sentences of a text (sentencex)
- `pieces`      the pieces that readers yield; packages of the extra `import`
- `joints`      lines and sentences joined: spaces, divided words
- `texts`, `markdown`, `html`, `pdf`, `docx`   documents to blocks under their titles
- `pdf_layout`, `pdf_running`                  reading order of a PDF's pages; headers and page numbers
- `tables`, `json_files`, `sheets`             CSV, JSON Lines, JSON and spreadsheets to rows and records
- `columns`, `values`                          roles of a table's columns; empty values, answers written as text
- `gzipped`     compressed files
- `records`, `edits`, `asked`                  data sets, recognised by the fields of their records
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
