"""Import documents, tables and data sets into a news file.

- `pipeline`    `import_news`: files and folders to one file; duplicates, omissions and their reasons
- `settings`    ImportSettings
- `passages`    documents to passages at sentence boundaries, within a token budget
- `sentences`   sentences of a text (sentencex)
- `pieces`      the pieces that readers yield; packages of the extra `import`
- `joints`      lines and sentences joined: spaces, divided words
- `texts`, `markdown`, `html`, `pdf`, `docx`, `epub`   documents to blocks under their titles
- `html_page`, `furniture`, `charsets`         the parser of pages, what on them is no text, their encodings
- `main_text`   which blocks of a page belong to its main text (trafilatura)
- `word_text`   the visible text of a paragraph of a Word file
- `grids`, `marks`, `equations`                tables, superscripts and ruby, equations of pages and Word files as text
- `pdf_layout`, `pdf_running`                  reading order of a PDF's pages; headers and page numbers
- `tables`, `json_files`, `sheets`             CSV, JSON Lines, JSON and spreadsheets to rows and records
- `columns`, `values`                          roles of a table's columns; empty values, answers written as text
- `gzipped`, `web`                             compressed files; addresses fetched into files
- `records`, `edits`, `asked`                  data sets, recognised by the fields of their records
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
