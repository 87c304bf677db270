"""The main job: generates replay elements from news items, trains adapters on them, evaluates and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sys2ft.evaluation import EvaluateSettings
from sys2ft.evaluation.records import can_ask
from sys2ft.generators import Generator, ServerSettings
from sys2ft.job.card import write_card
from sys2ft.job.fits import require_fit
from sys2ft.job.stages import (
    check_settings,
    evaluate_stage,
    generate_stage,
    open_run,
    require_layers,
    require_protocols,
    require_questions,
    require_retention,
    train_stage,
)
from sys2ft.job.writing import open_writer, require_generation_fits, require_writer
from sys2ft.models import DEFAULT_MODEL, LoadedModel, Reader, load_model
from sys2ft.news import News, Question, load_news, selection_of
from sys2ft.replay import GenerateSettings
from sys2ft.report import Summary, markdown_table, power_line, summarise, write_report, write_scores
from sys2ft.runs import Display, Run
from sys2ft.training import TrainSettings


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: its folder, its summary, and the report's path."""

    folder: Path
    summary: Summary
    report: Path

    @property
    def adapters(self) -> list[Path]:
        """PEFT folders of the best protocol's adapters; empty if no protocol has a score or all were refused."""
        if self.summary.best is None:
            return []
        folder = self.folder / "adapters" / self.summary.best
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    @property
    def all_refused(self) -> bool:
        """Whether `max_drop` refused every protocol that has an adapter."""
        tuned = set(self.summary.protocols) - set(self.summary.without_adapter)
        return bool(self.summary.refused) and tuned <= set(self.summary.refused)

    def table(self) -> str:
        """The main table in Markdown."""
        return markdown_table(self.summary)


def run(
    news: str | Path | Sequence[News],
    *,
    model: str | LoadedModel = DEFAULT_MODEL,
    out: str | Path = "sys2ft-run",
    generate: GenerateSettings | None = None,
    train: TrainSettings | None = None,
    evaluate: EvaluateSettings | None = None,
    seed: int = 0,
    command: str = "",
    generator: str | Generator | None = None,
    server: ServerSettings | None = None,
    show: Display | None = None,
) -> Result:
    """Generate replay elements, train, evaluate and report, in the run folder `out`.

    `news` is a file, the name of a bundled set, or a list of News. An unfinished run with the same settings in that
    folder resumes. `generator` writes the elements: the name of another model, 'openai:MODEL@URL' (asked as `server`
    says), or an object; None: `model` does. Raises NewsError, ModelError or SettingsError for errors that the caller
    can fix, and StorageError if writing fails.
    """
    items = load_news(news) if isinstance(news, str | Path) else list(news)
    generate = generate or GenerateSettings()
    require_protocols(generate)
    require_writer(generator, generate)
    evaluate = evaluate or EvaluateSettings()
    require_questions(items, evaluate)  # checked now rather than after hours of work
    show = show or Display()
    loaded = load_model(model, progress=show.note) if isinstance(model, str) else model
    require_layers(loaded, train or TrainSettings())
    require_fit(Reader.of(loaded), items, generate=None if generator else generate, evaluate=evaluate)
    require_retention(loaded, items, evaluate, seed=seed)
    writer = open_writer(generator, loaded, generate, out=out, server=server, show=show)
    if generator:
        require_generation_fits(loaded, writer, items, generate)
    folder = open_run(out, loaded, items, seed=seed, command=command, writer=writer)
    show.note(visible_difference(items, generate, evaluate, loaded.source.name))
    with folder.lock():
        check_settings(folder, generate, train or TrainSettings(), evaluate)
        generate_stage(folder, loaded, generate, show, train=train, writer=writer)
        del writer  # another model's memory is needed for training
        train_stage(folder, loaded, train or TrainSettings(), show)
        evaluate_stage(folder, loaded, evaluate, show)
        return finish(folder)


def visible_difference(news: Sequence[News], generate: GenerateSettings, evaluate: EvaluateSettings, model: str) -> str:
    """The smallest difference of accuracies that such a run could see, in one line (`report.power_line`).

    Only questions that carry the verdict are counted: those that the headline scoring can ask, and that were not chosen
    because this model fails them.
    """
    counts = [sum(_carries(q, model) and can_ask(evaluate.headline, q.choices) for q in one.questions) for one in news]
    return power_line(counts, protocols=len(generate.protocols))


def _carries(question: Question, model: str) -> bool:
    selection = selection_of(question.made_by, question.selected)
    return selection is None or selection.closed_book == "any" or not selection.concerns(model, None)


def finish(folder: Run) -> Result:
    """Write scores.json and report.html in a run folder."""
    write_card(folder.path)  # for a folder of a version that wrote none
    write_scores(folder.path)
    report = write_report(folder.path)
    return Result(folder.path, summarise(folder.path), report)
