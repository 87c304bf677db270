"""From the elements of a cell to its training samples: how many, what precedes the prompt, how texts are cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.languages import language_of
from sys2ft.news import News
from sys2ft.replay import ReplayElement
from sys2ft.replay.prompts import restating_cues
from sys2ft.replay.stages import Trail
from sys2ft.studies.options import Options

Elements = Sequence[ReplayElement]
_BETWEEN = "\n\n"


def kept_of(elements: Elements, news: Sequence[News], most: int = 0) -> dict[str, list[ReplayElement]]:
    """The kept elements of each news item, the first `most` of them (0: all)."""
    found: dict[str, list[ReplayElement]] = {item.id: [] for item in news}
    for element in elements:
        if element.status == "kept" and element.news_id in found:
            found[element.news_id].append(element)
    return {name: own[: most or len(own)] for name, own in found.items()}


def samples_of(
    options: Options, elements: Elements, news: Sequence[News], paraphrases: Mapping[str, str]
) -> dict[str, list[ReplayElement]]:
    """The training samples of each news item: its kept elements, cut and preceded as the options say.

    `paraphrases` are needed where the prompt shows one; a news item without has no samples then.
    """
    kept = kept_of(elements, news, options.elements)
    laid_out = {item.id: _LAYOUTS[options.layout](item, kept[item.id]) for item in news}
    if options.shown == "nothing":
        return laid_out
    before = _texts_before(options, news, paraphrases)
    return {
        name: [_preceded(element, before[name]) for element in own] if name in before else []
        for name, own in laid_out.items()
    }


def _texts_before(options: Options, news: Sequence[News], paraphrases: Mapping[str, str]) -> dict[str, str]:
    """What precedes the prompts of each news item."""
    if options.shown == "news":
        return {item.id: item.text for item in news}
    if options.shown == "other":
        # The next news item of the set, which says nothing of this one.
        return {item.id: other.text for item, other in zip(news, [*news[1:], *news[:1]], strict=True)}
    return dict(paraphrases)


def _preceded(element: ReplayElement, text: str) -> ReplayElement:
    """The element with a text before its prompt, in the words by which news items are shown in context."""
    *before, last = element.prompt
    own = language_of(text).prompts
    shown = own.filled("ask_in_context", news=text, question=last["content"])
    return replace(element, prompt=(*before, {**last, "content": shown}))


def _pieces(news: News, elements: Elements) -> list[str]:
    """The news item, then each element as a text of its own: its prompt and what answers it."""
    return [news.text, *(f"{element.prompt[-1]['content']} {element.completion}" for element in elements)]


def _cut(news: News, texts: Sequence[str], like: Elements) -> list[ReplayElement]:
    """Texts as samples that answer the cues of restated news items in turn."""
    if not like:
        return []
    code = language_of(news.text).code
    cues = restating_cues()
    trail = Trail(news=news, index=0, said={}, cues=cues.get(code, cues["en"]), language=code)
    return [
        replace(
            like[0],
            id=f"{news.id}/{place:04d}",
            prompt=({"role": "user", "content": trail.cue_for(place)},),
            completion=text,
        )
        for place, text in enumerate(texts)
    ]


_LAYOUTS: dict[str, Callable[[News, Elements], list[ReplayElement]]] = {
    "elements": lambda news, own: list(own),
    "document": lambda news, own: _cut(news, [_BETWEEN.join(_pieces(news, own))], own),
    "pieces": lambda news, own: _cut(news, _pieces(news, own), own),
    "abstract": lambda news, own: _cut(news, [news.text], own),
}


def written_elements(file: str, news: Sequence[News]) -> list[ReplayElement]:
    """Texts that others wrote about the news items, one element each, in answer to the cues of restated news items.

    The file is JSON Lines with `news_id` and `text`. Raises SettingsError for a file that cannot be read, and for news
    items without a text.
    """
    lines = written_text(file).split("\n")  # texts may have other line ends
    texts: dict[str, list[str]] = {}
    try:
        for line in lines:
            if line.strip():
                row: dict[str, Any] = json.loads(line)
                texts.setdefault(str(row["news_id"]), []).append(str(row["text"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, error) from error
    missing = [item.id for item in news if item.id not in texts]
    if missing:
        raise SettingsError(
            f"{file} has no text about {len(missing)} news items, such as {missing[0]}",
            expected="a text about each",
            fix="add them, or leave these news items out",
        )
    found = []
    for item in news:
        blank = ReplayElement(
            id="", news_id=item.id, protocol="written", prompt=(), completion="", status="kept", reason=None, seed=0
        )
        found += _cut(item, texts[item.id], [blank])
    return found


def written_text(file: str) -> str:
    """The content of such a file. Raises SettingsError if it cannot be read."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: str, error: Exception) -> SettingsError:
    return SettingsError(
        f"{file} cannot be read: {type(error).__name__}: {error}",
        expected="JSON Lines with `news_id` and `text`",
        fix="correct the file, or the option `written`",
    )
