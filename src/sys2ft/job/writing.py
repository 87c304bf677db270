"""Who writes the elements of a run: the model that is trained, or another generator, opened by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators import (
    EngineGenerator,
    Generator,
    Opening,
    ServerGenerator,
    ServerSettings,
    is_local,
    open_generator,
    require_generator,
)
from sys2ft.job.fits import require_fit
from sys2ft.models import LoadedModel, Reader, resolve
from sys2ft.news import News
from sys2ft.replay import GenerateSettings
from sys2ft.runs import Display

REPLIES = Path("replay") / "server-replies"
"""Where a run folder keeps what a server replied."""


def require_writer(name: str | Generator | None, generate: GenerateSettings) -> None:
    """Raise SettingsError for a generator that cannot be opened or used with these settings, before any work.

    A budget in FLOP counts those of generation, which only the engine can.
    """
    if not isinstance(name, str):
        return
    require_generator(name)
    if generate.budget[0] == "flop" and not is_local(name):
        raise SettingsError(
            f"a budget in FLOP, and the generator {name}, whose FLOP are not known",
            expected="a budget in samples or tokens",
            fix="give --samples-per-news or --tokens-per-news in place of --flop",
        )


def open_writer(
    name: str | Generator | None,
    learner: LoadedModel,
    generate: GenerateSettings,
    *,
    out: str | Path,
    server: ServerSettings | None = None,
    show: Display | None = None,
) -> Generator | None:
    """The generator called `name`; None if that is the model that is trained. A server's replies are kept below `out`.

    An object is returned as it is. Nothing is written yet. Raises SettingsError for a wrong name, and ModelError for a
    model or server that cannot be used.
    """
    if not isinstance(name, str):
        return name
    if is_local(name) and resolve(name).fingerprint() == learner.fingerprint:
        return None
    opening = Opening(
        replies=Path(out) / REPLIES,
        server=server or ServerSettings(),
        dtype=str(learner.dtype).removeprefix("torch."),
        device=str(learner.device),
        rows_at_once=generate.rows_at_once,
        show=show or Display(),
    )
    writer = open_generator(name, opening)
    opening.show.note(f"{name} writes the elements, and {learner.source.name} is trained on them")
    return writer


def require_generation_fits(
    learner: LoadedModel, writer: Generator | None, news: Sequence[News], generate: GenerateSettings
) -> None:
    """Raise NewsError for news items that do not fit into the model that reads them to write, or to judge."""
    if writer is None:
        require_fit(Reader.of(learner), news, generate=generate)
    elif isinstance(writer, EngineGenerator):
        require_fit(Reader.of(writer.model), news, generate=generate)
    elif {"gain", "entailment"} & set(generate.checks) or generate.implied_facts:
        require_fit(Reader.of(learner), news, generate=generate)  # it reads what the server read, and the reply


def described(writer: Generator) -> dict[str, Any]:
    """Who writes, for a run's record; of a server also what it says it is, what it takes, and what it has written."""
    about: dict[str, Any] = {"identity": writer.identity}
    if isinstance(writer, EngineGenerator):
        return {"name": writer.model.source.name, **about, **writer.model.described()}
    if isinstance(writer, ServerGenerator):
        return {"name": writer.address.name, **about, **writer.record, **writer.spent()}
    return about
