"""What a server offers: the names of its models, the bank with their adapters, and the news that `base+news` reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sys2ft.combining import Retriever
from sys2ft.engine import BASE, AdapterBank, open_adapters, prepare
from sys2ft.errors import ModelError, SettingsError
from sys2ft.files import read_json
from sys2ft.job import news_of
from sys2ft.job.trained import REFUSED
from sys2ft.languages import language_of
from sys2ft.models import LoadedModel, Message, resolve
from sys2ft.news import News
from sys2ft.runs import Run
from sys2ft.training import JOINT

BASE_NAME = "base"
NEWS_NAME = "base+news"


@dataclass(frozen=True, slots=True)
class Served:
    """A name that requests use as their model: a slot of the bank, or the base, with news in context or without."""

    name: str
    slot: int = BASE
    reads_news: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models that a server offers, by name, over one loaded model."""

    model: LoadedModel
    bank: AdapterBank | None
    served: Mapping[str, Served]
    context: NewsContext | None = None
    left_out: Sequence[str] = ()
    """Adapters of the run that are not where they were written: refused ones, mostly."""


class NewsContext:
    """Puts news into the context of a conversation, with the prompt of the evaluation's in-context condition."""

    def __init__(self, news: Sequence[News], *, whole: bool) -> None:
        self._texts = {item.id: item.text for item in news}
        self._whole = "\n\n".join(self._texts.values()) if whole else None
        self._retriever = None if whole else Retriever(news)

    def read(self, messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
        """The messages with news before the last question, and the ids of that news: none where nothing is found.

        What is sought is the last question; if it finds nothing, the one before it, and so on.
        """
        *before, last = messages
        if self._whole is not None:
            text, ids = self._whole, list(self._texts)
        else:
            questions = [one.content for one in reversed(messages) if one.role == "user"]
            found = next((id for question in questions if (id := self._find(question))), None)
            if found is None:
                return list(messages), []
            text, ids = self._texts[found], [found]
        prompts = language_of(text).prompts
        return [*before, Message(last.role, prompts.filled("ask_in_context", news=text, question=last.content))], ids

    def _find(self, question: str) -> str | None:
        assert self._retriever is not None
        return self._retriever.find(question)


def open_run(run: Run, model: LoadedModel, *, only: Collection[str] = (), whole: bool = False) -> Catalogue:
    """The base, the base with the run's news in context, and every adapter of the run that was not refused."""
    adapters, left_out = _adapters_of(run)
    catalogue = _catalogue(model, adapters, only, NewsContext(news_of(run), whole=whole))
    return replace(catalogue, left_out=left_out)


def open_peft(folder: Path, model: LoadedModel, *, only: Collection[str] = ()) -> Catalogue:
    """The base and the adapter of a PEFT folder, named like the folder.

    Raises ModelError if the adapter was trained for another base, as far as its folder says which.
    """
    config = read_json(folder / "adapter_config.json")
    named = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if named:
        _require_same_base(folder, str(named), model)
    return _catalogue(model, {folder.resolve().name: folder}, only, None)


def _require_same_base(folder: Path, named: str, model: LoadedModel) -> None:
    try:
        source = resolve(named)
    except ModelError:  # it is not on this machine: the shapes of the layers are what can be compared
        return
    if source.name != model.source.name and source.fingerprint() != model.fingerprint:
        raise ModelError(
            f"{folder} was trained for {named}, and --model is {model.source.name}",
            expected="the base that the adapter was trained for",
            fix=f"give --model {named}",
        )


def _catalogue(
    model: LoadedModel, adapters: Mapping[str, Path], only: Collection[str], context: NewsContext | None
) -> Catalogue:
    if unknown := [name for name in only if name not in adapters]:
        raise SettingsError(
            f"--only {' '.join(unknown)}: no such adapter",
            expected=f"names among: {', '.join(adapters) or 'none at all'}",
            fix="correct --only, or leave it out to offer all",
        )
    chosen = {name: folder for name, folder in adapters.items() if not only or name in only}
    prepare(model.model)
    bank = open_adapters(model.model, list(chosen.values())) if chosen else None
    served = [Served(BASE_NAME), *([Served(NEWS_NAME, reads_news=True)] if context else [])]
    served += [Served(name, slot) for slot, name in enumerate(chosen)]
    return Catalogue(model, bank, {one.name: one for one in served}, context)


def _adapters_of(run: Run) -> tuple[dict[str, Path], list[str]]:
    """The folders of adapters by name, and the names of those that are not there.

    A name is `protocol` (of joint and merged adapters) or `protocol/news id`.
    """
    found: dict[str, Path] = {}
    missing = list[str]()
    for file in sorted((run.path / "training").glob("*.json")):
        protocol = file.stem
        folder = run.path / "adapters" / protocol
        for name in read_json(file).get("names", ()):
            shown = protocol if name == JOINT else f"{protocol}/{name}"
            if (folder / name).is_dir():
                found[shown] = folder / name
            else:
                missing.append(shown)
    for config in sorted((run.path / "adapters").glob("*/adapter_config.json")):  # merged ones
        if not config.parent.name.endswith(REFUSED):
            found[config.parent.name] = config.parent
    return found, missing
