"""The main job: generates replay elements from news items, trains adapters on them, evaluates and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sys2ft.errors import NewsError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.evaluation.records import can_ask
from sys2ft.executors import ExecutorSettings, Pool, opened, require_executor
from sys2ft.generators import Generator, ServerSettings
from sys2ft.job.card import write_card
from sys2ft.job.fits import require_fit
from sys2ft.job.given import probe_folder
from sys2ft.job.refusals import check_settings, require_measurable, require_questions, require_settings
from sys2ft.job.stage_train import train_stage
from sys2ft.job.stages import (
    evaluate_stage,
    generate_stage,
    open_run,
    probe_stage,
    require_layers,
    require_retention,
)
from sys2ft.job.writing import open_writer, require_generation_fits, require_writer
from sys2ft.models import DEFAULT_MODEL, LoadedModel, Reader, load_model
from sys2ft.news import News, Question, load_news, selection_of
from sys2ft.probing import Probes, ProbeSettings
from sys2ft.replay import GenerateSettings
from sys2ft.report import Summary, markdown_table, power_line, summarise, write_report, write_scores
from sys2ft.runs import Display, Run, read_jsonl, tracked
from sys2ft.statistics import Score
from sys2ft.training import CURVE, TrainSettings


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
    probe: ProbeSettings | None = None,
    seed: int = 0,
    log_to: str = "",
    command: str = "",
    generator: str | Generator | None = None,
    server: ServerSettings | None = None,
    where: ExecutorSettings | None = None,
    show: Display | None = None,
) -> Result:
    """Generate replay elements, train, evaluate and report, in the run folder `out`.

    `news` is a file, the name of a bundled set, or a list of News. With `probe`, the model writes questions if none of
    them has one (in the folder `<out>.probe`). `generator` writes the elements: the name of another model,
    'openai:MODEL@URL' (asked as `server` says), or an object; None: `model` does. `log_to` names an experiment tracker
    (`runs.trackers`). `where` says what computes; None: this process. An unfinished run with the same settings in that
    folder resumes. Raises NewsError, ModelError or SettingsError for errors that the caller can fix, those of settings
    before the model is loaded, and StorageError if writing fails.
    """
    items = load_news(news) if isinstance(news, str | Path) else list(news)
    generate, train, evaluate = generate or GenerateSettings(), train or TrainSettings(), evaluate or EvaluateSettings()
    require_settings(generate, train, evaluate, seed=seed, out=out, log_to=log_to)
    require_writer(generator, generate)
    where = where or ExecutorSettings()
    require_executor(where)
    asking = require_measurable(items, evaluate, probe, seed=seed)
    show = show or Display()
    loaded = load_model(model, progress=show.note) if isinstance(model, str) else model
    require_layers(loaded, train)
    require_fit(Reader.of(loaded), items, generate=None if generator else generate, evaluate=evaluate, probe=asking)
    require_retention(loaded, items, evaluate, seed=seed)
    stages = 3 if asking is None else 4
    with opened(where, Path(out), device=loaded.device.type, note=show.note) as pool:
        written: Probes | None = None
        if asking is not None:
            with show.stage(1, stages):
                written = write_questions(
                    items, loaded, Path(out), asking, seed=seed, command=command, show=show, pool=pool
                )
            items = written.news
            require_questions(items, evaluate)
            require_fit(Reader.of(loaded), items, evaluate=evaluate)
        writer = open_writer(generator, loaded, generate, out=out, server=server, show=show)
        if generator:
            require_generation_fits(loaded, writer, items, generate)
        folder = open_run(out, loaded, items, seed=seed, command=command, writer=writer)
        show.note(visible_difference(items, generate, evaluate, loaded.source.name))
        with folder.lock(), tracked(show, log_to, folder.path):
            check_settings(folder, generate, train, evaluate)
            if written is not None:
                asked, kept = len(written.candidates), len(written.kept)
                show.measured("probe", 0, {"asked": asked, "kept": kept, "yield": kept / asked})
            with show.stage(stages - 2, stages):
                generate_stage(folder, loaded, generate, show, train=train, writer=writer, pool=pool)
            del writer  # another model's memory is needed for training
            with show.stage(stages - 1, stages):
                train_stage(folder, loaded, train, show, pool=pool)
                _hand_on(folder, generate.protocols, show)
            with show.stage(stages, stages):
                evaluate_stage(folder, loaded, evaluate, show, pool=pool)
            result = finish(folder)
            for name, scores in scores_of(result.summary).items():
                show.measured(f"scores/{name}", 0, scores)
            return result


def write_questions(
    news: Sequence[News],
    model: LoadedModel,
    out: Path,
    settings: ProbeSettings,
    *,
    seed: int,
    command: str = "",
    show: Display | None = None,
    pool: Pool | None = None,
) -> Probes:
    """Questions for news items without any, written by the model in the folder beside the run folder `out`.

    Raises NewsError if not one of them passed its checks.
    """
    run = open_run(probe_folder(out), model, news, seed=seed, command=command)
    with run.lock():
        probes = probe_stage(run, model, settings, show or Display(), pool=pool)
    if not probes.kept:
        raise NewsError(
            f"none of the {len(probes.candidates)} questions that {model.source.name} wrote passed its checks: "
            + ", ".join(f"{reason} ({count})" for reason, count in sorted(probes.reasons().items())),
            expected="at least one question that the model answers with the news item in context",
            fix=f"use a larger model, or write questions yourself ({run.path / 'probes.jsonl'} has the candidates)",
        )
    return probes


def _hand_on(folder: Run, protocols: Sequence[str], show: Display) -> None:
    """Hand on the loss curves that an earlier process recorded; those of this one are known already."""
    for name in protocols if show.listener is not None else ():
        for row in read_jsonl(folder.path / "training" / f"{name}.jsonl"):
            values = {key: row[key] for key in CURVE if key in row}
            show.measured(f"train/{name}/{row['adapter']}", row["step"], values)


def scores_of(summary: Summary) -> dict[str, dict[str, float]]:
    """By subject: the accuracies of the main table that are defined."""
    return {
        row.subject: {
            name: score.estimate
            for name, score in (("closed_book", row.closed_book), ("in_context", row.in_context))
            if isinstance(score, Score)
        }
        for row in summary.block().rows
    }


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
