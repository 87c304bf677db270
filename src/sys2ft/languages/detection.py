"""Which language a text is in, by py3langid, and in which language a news item is prompted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.languages.language import ENGLISH, LANGUAGES, Language, language

AUTO = "auto"
LEAST_CONFIDENCE = 0.3
"""A text that the detector assigns to no language with this confidence is taken for English: formulas, names."""
# Languages with much text. Among more, short texts are often taken for a small relative of their language.
_CONSIDERED = """
af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko lo lt
lv mk ml mn mr ms my ne nl no pa pl ps pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh
"""


@lru_cache(maxsize=4096)
def detect(text: str) -> str:
    """The code (ISO 639-1) of the language that the text is most probably in; English if that cannot be said."""
    code, confidence = _detector().classify(text)
    return str(code) if confidence >= LEAST_CONFIDENCE else ENGLISH


def language_of(text: str, wanted: str = AUTO) -> Language:
    """The language of a news item with this text: that of the text, or the one that the setting names."""
    return language(detect(text) if wanted == AUTO else wanted)


def check_language(wanted: str) -> None:
    """Raise SettingsError for a language that is neither 'auto' nor one with prompts."""
    if wanted != AUTO and wanted not in LANGUAGES:
        raise SettingsError(
            f"language {wanted!r}",
            expected=f"'auto' or one of {', '.join(LANGUAGES)}",
            fix="choose one of them, or add a language file (docs/internals.md, 'A language')",
        )


def unprompted(texts: Iterable[str], wanted: str = AUTO) -> dict[str, int]:
    """How many of the texts are in a language without prompts, by its code. They are prompted in English."""
    found = Counter(own.code for text in texts if not (own := language_of(text, wanted)).prompted)
    return dict(sorted(found.items()))


def fallback_notes(texts: Iterable[str], wanted: str = AUTO) -> list[str]:
    """The line to print where some of the texts are in a language without prompts."""
    counted = ", ".join(f"{code!r} ({count})" for code, count in unprompted(texts, wanted).items())
    said = f"no prompts in the language of these news items, so they are prompted in English: {counted}"
    return [said] if counted else []


@lru_cache(maxsize=1)
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_CONSIDERED.split())
    return identifier
