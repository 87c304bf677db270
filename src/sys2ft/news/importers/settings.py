"""Settings of the import."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError

Form = Literal["auto", "text", "markdown", "html", "pdf", "docx", "epub", "csv", "spreadsheet", "jsonl", "json"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSettings:
    """How files are converted into news items."""

    form: Form = "auto"
    """Form of the files; auto: by file name ending. A data set inside JSON is recognised by its fields."""
    text_fields: tuple[str, ...] = ()
    """Columns of a table, or fields of JSON Lines, with the text. One: its text; several: 'name: value' each.
    Default: one of text, content, body, news, context, passage, article, description."""
    title_field: str | None = None
    """Column or field with the title. Default: title, heading or headline, if present."""
    question_field: str | None = None
    """Column or field with a question; consecutive rows of one text are merged. Default: question, if present."""
    answer_field: str | None = None
    """Column or field with its answer. Default: answer or answers, if present."""
    encoding: str | None = None
    """Encoding of text files. Default: UTF-8, or as a byte order mark or an HTML page declares."""
    language: str = "en"
    """Language (ISO 639-1) whose rules split sentences."""
    keep_furniture: bool = False
    """Keep navigation, banners, comments and related links of HTML pages."""
    domain: str = "general"
    """Domain of news items that have none."""
    max_tokens: int = 512
    """Token budget of a news item, title path included. Longer texts are split at sentence boundaries."""
    max_record_mb: float = 16.0
    """Longest line, row or record that is read, in millions of bytes or characters; it bounds memory."""
    max_download_mb: float = 100.0
    """Largest file that is fetched from a web address, in millions of bytes."""
    skip_bad: bool = False
    """Skip and count files and records that cannot be used."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingsError(f"form {self.form!r}", expected=f"one of {', '.join(FORMS)}", fix="correct --form")
        if self.max_tokens < 16 or not self.max_record_mb > 0:
            raise SettingsError(
                f"max_tokens={self.max_tokens}, max_record_mb={self.max_record_mb}",
                expected="at least 16 tokens, and a record size above 0",
                fix="raise the setting",
            )
        if self.encoding is not None:
            try:
                if not codecs.lookup(self.encoding)._is_text_encoding:
                    raise LookupError
            except LookupError:
                raise SettingsError(
                    f"unknown encoding {self.encoding!r}",
                    expected="a name that Python knows, such as utf-8, cp1252, shift_jis or utf-16",
                    fix="correct --encoding, or omit it",
                ) from None

    @property
    def max_record(self) -> int:
        """`max_record_mb` in bytes or characters."""
        return int(self.max_record_mb * 1_000_000)
