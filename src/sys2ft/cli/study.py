"""`sys2ft study`: runs a grid of cells and writes its page; lists, shows and begins studies."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from sys2ft.cli.common import ModelOptions, console, keeping
from sys2ft.cli.run import duration
from sys2ft.errors import SettingsError
from sys2ft.executors import ExecutorSettings
from sys2ft.runs import Needs, display
from sys2ft.terminal import print

if TYPE_CHECKING:
    from sys2ft.studies import Outlook, Studied, Study


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun(ModelOptions):
    """Run a study, or what is left of it, and write its page. `sys2ft study NAME` is short for `sys2ft study run NAME`.

    A study is a grid of cells. Finished cells are kept in the folder, also when the study's file changes.
    """

    study: Annotated[Positional[str], arg(metavar="STUDY")]
    """Name of a bundled study (`sys2ft study list`), or a YAML file."""
    small: bool = False
    """The study's small size, which takes minutes with the embedded model."""
    models: tuple[str, ...] = ()
    """Models in place of the study's."""
    news: str = ""
    """News file or bundled set in place of the study's."""
    take: int | None = None
    """Number of news items, spread evenly over the set; 0: all."""
    seeds: tuple[int, ...] = ()
    """Seeds in place of the study's."""
    set: tuple[str, ...] = ()
    """Options that all cells share, such as epochs=4 (`sys2ft study options`)."""
    also: tuple[str, ...] = ()
    """Measures besides the study's, such as prose or gsm8k=FILE:50."""
    only: tuple[str, ...] = ()
    """Only cells at these places, such as protocol=naive."""
    out: Path | None = None
    """Folder of the study; default: sys2ft-runs/study-<name>."""
    store: str = ""
    """Address of fsspec, such as `s3://BUCKET/RUN`, where a copy of the folder is kept: fetched first if there is no
    folder here, written when the command ends. Empty: none."""
    dry_run: bool = False
    """Print the cells, what they would need, and the smallest difference that the study could see; then exit."""
    where: OmitArgPrefixes[ExecutorSettings] = ExecutorSettings()

    def run(self) -> int:
        from sys2ft.studies import outlook, run_study

        study = self._study()
        out = self.out or Path("sys2ft-runs") / f"study-{study.name}{'-small' if self.small else ''}"
        how: dict[str, Any] = {"dtype": self.dtype, "device": self.device, "only": pairs("--only", self.only)}
        if self.dry_run:
            with display(self.quiet) as show:
                found = outlook(study, out, show=show, **how)
            _print_outlook(study, found)
            return 2 if found.unusable else 0
        command = shlex.join(["sys2ft", *sys.argv[1:]])
        with keeping(out, self.store, self.quiet), display(self.quiet) as show:
            done = run_study(study, out, command=command, where=self.where, show=show, **how)
        _print_study(done)
        return 2 if done.failures else 0

    def _study(self) -> Study:
        from sys2ft.studies import changed, load_study

        study = load_study(self.study)
        study = study.smaller() if self.small else study
        changes: dict[str, Any] = {
            "models": list(self.models), "news": self.news, "seeds": list(self.seeds),
            "settings": pairs("--set", self.set),
        }  # fmt: skip
        changes["measures"] = [*study.measures, *self.also] if self.also else []
        changes = {name: value for name, value in changes.items() if value}
        changes |= {"take": self.take} if self.take is not None else {}
        return changed(study, changes, "the command line") if changes else study


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyList:
    """List the bundled studies."""

    def run(self) -> None:
        from sys2ft.studies import load_study, study_names

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for name in study_names():
            table.add_row(name, Text(load_study(name).asks))
        console().print(table)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyShow:
    """Print the file of a bundled study."""

    name: Annotated[Positional[str], arg(metavar="STUDY")]
    """Name of a bundled study."""

    def run(self) -> None:
        from sys2ft.studies import load_study, study_text

        load_study(self.name)
        print(study_text(self.name), end="")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyNew:
    """Write a study to begin from into a file."""

    file: Positional[Path]
    """File to write."""
    like: str = ""
    """Bundled study to copy; empty: a short one with comments."""

    def run(self) -> None:
        from sys2ft.files import write_text
        from sys2ft.studies import load_study, study_text, template_text

        if self.file.exists():
            raise SettingsError(f"{self.file} exists", expected="a new file", fix="choose another name")
        if self.like:
            load_study(self.like)
        write_text(self.file, study_text(self.like) if self.like else template_text())
        print(f"study     {self.file}\nnext      sys2ft study {shlex.quote(str(self.file))} --dry-run")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyOptions:
    """List the options that the cells of a study can vary: values, default and meaning."""

    def run(self) -> None:
        from sys2ft.studies import option_types
        from sys2ft.studies.options import allowed, meanings

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("option", no_wrap=True)
        table.add_column("values (default)", ratio=2, overflow="fold")
        table.add_column("meaning", ratio=4)
        for name, (owner, _) in option_types().items():
            default = next((one.default for one in fields(owner) if one.name == name), "")
            table.add_row(name, Text(f"{allowed(name)} ({_as_yaml(default)})"), Text(meanings().get(name, "")))
        console().print(table)


def _as_yaml(value: Any) -> str:
    """A default as a study's file would say it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"


Action = (
    Annotated[StudyRun, subcommand("run")]
    | Annotated[StudyList, subcommand("list")]
    | Annotated[StudyShow, subcommand("show")]
    | Annotated[StudyNew, subcommand("new")]
    | Annotated[StudyOptions, subcommand("options")]
)
ACTIONS = ("run", "list", "show", "new", "options")


@dataclass(frozen=True, slots=True)
class Studies:
    """Grids of cells, each the answer to a question: run one, list them, show or write the file of one."""

    action: Action

    def run(self) -> int:
        return self.action.run() or 0


def with_action(words: list[str]) -> list[str]:
    """The words of a command line, with the action that `sys2ft study NAME` leaves out."""
    if words[:1] != ["study"] or len(words) < 2 or words[1] in ACTIONS or words[1] in ("-h", "--help"):
        return words
    return ["study", "run", *words[1:]]


def pairs(flag: str, given: tuple[str, ...]) -> dict[str, Any]:
    """Values by name, of texts such as 'epochs=4'; numbers and lists are read as in YAML."""
    import yaml

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"{flag} {text}", expected="name=value", fix=f"write {flag} epochs=4")
        if name in found:
            raise SettingsError(f"{flag}: {name} is there twice", expected="each name once", fix="remove one of them")
        try:
            found[name] = yaml.safe_load(value) if flag == "--set" else value
        except yaml.YAMLError as error:
            raise SettingsError(
                f"{flag} {text}", expected="a value as in YAML", fix=f"write {flag} epochs=4"
            ) from error
    return found


def _print_outlook(study: Study, found: Outlook) -> None:
    from sys2ft.studies.words import grouped, late_note

    table = Table(box=box.SIMPLE_HEAD, title=f"{study.name}: {found.cells} cells, {found.finished} finished")
    table.title_justify = "left"
    for name in ("model", "part"):
        table.add_column(name)
    for name in ("done", "left", "tokens", "TFLOP", "time", "memory"):
        table.add_column(name, justify="right")
    for row in found.estimates:
        table.add_row(Text(row.model), row.part, f"{row.done:,}", f"{row.left:,}", *_needs(row.needs, row.seconds))
    total = sum((row.needs for row in found.estimates), Needs())
    table.add_section()
    table.add_row("all", "", "", "", *_needs(total, sum(row.seconds for row in found.estimates)))
    table.caption = (
        "Later rounds of generation are not counted. Times assume the speed of a few passes, steps of training and "
        "texts sampled now, and so the load that the machine has now. Memory without the model."
    )
    table.caption_justify = "left"
    console().print(table)
    if len(found.unusable) < found.cells:
        console().print(Text(found.power))
    if found.late:
        console().print(Text(late_note(found.late)))
    for why, which in grouped(found.unusable):
        console().print(Text(f"cannot be computed: {why}: {which}", style="red"))


def _needs(needs: Needs, seconds: float) -> tuple[str, ...]:
    return f"{needs.tokens:,}", f"{needs.flop / 1e12:.3g}", duration(seconds), f"{needs.memory / 2**30:.2f} GiB"


def _print_study(done: Studied) -> None:
    from sys2ft.studies import sentences, study_table
    from sys2ft.studies.words import grouped, remarks

    console().print(study_table(done.found))
    for sentence in sentences(done.found):
        console().print(Text(sentence))
    for remark in remarks(done.found):
        console().print(Text(remark, style="dim"))
    for why, which in grouped([(failure.cell.title, str(failure.error)) for failure in done.failures]):
        console().print(Text(f"not computed: {which}: {why}", style="red"))
    print(f"results   {done.folder / 'results.json'}")
    print(f"page      {done.page}")
