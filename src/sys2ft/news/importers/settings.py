"""Settings of the import."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError

Form = Literal["auto", "text", "markdown", "html", "pdf", "docx", "csv", "jsonl", "json"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSettings:
    """How files become news."""

    form: Form = "auto"
    """Form of the files; auto: by the ending of each name. A data set inside JSON is recognised by its fields."""
    text_fields: tuple[str, ...] = ()
    """Columns of a table, or fields of JSON Lines, that make the text. One: its text; several: 'name: value' each.
    Default: one of text, content, body, news, context, passage, article, description."""
    title_field: str | None = None
    """Column or field with the title. Default: one of title, heading, headline, if there."""
    question_field: str | None = None
    """Column or field with a question; neighbouring rows of one text become one news. Default: question, if there."""
    answer_field: str | None = None
    """Column or field with its answer. Default: answer or answers, if there."""
    encoding: str | None = None
    """Encoding of text files. Default: UTF-8, or what a byte order mark or an HTML page declares."""
    language: str = "en"
    """Language (ISO 639-1) by whose rules sentences are told apart."""
    domain: str = "general"
    """Domain of the news that bring none."""
    max_tokens: int = 512
    """Room of a news, title path included. Longer texts are divided at sentence borders."""
    max_record_mb: float = 16.0
    """Longest line, row or record that is read, in millions of bytes or characters: it bounds memory."""
    skip_bad: bool = False
    """Go on with the rest when a file or a record cannot be used, and count it."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingsError(f"form {self.form!r}", expected=f"one of {', '.join(FORMS)}", do="correct --form")
        if self.max_tokens < 16 or not self.max_record_mb > 0:
            raise SettingsError(
                f"max_tokens={self.max_tokens}, max_record_mb={self.max_record_mb}",
                expected="at least 16 tokens, and a record size above 0",
                do="raise the setting",
            )
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise SettingsError(
                    f"unknown encoding {self.encoding!r}",
                    expected="a name that Python knows, such as utf-8, cp1252, shift_jis or utf-16",
                    do="correct --encoding, or leave it out",
                ) from None

    @property
    def max_record(self) -> int:
        """`max_record_mb` in bytes or characters."""
        return int(self.max_record_mb * 1_000_000)
