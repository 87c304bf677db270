"""The commands and their exit codes; every field of the settings classes is a flag."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from sys2ft.cli.audit import NewsAudit
from sys2ft.cli.compare import Compare
from sys2ft.cli.config import with_config
from sys2ft.cli.doctor import Doctor
from sys2ft.cli.export import Export
from sys2ft.cli.help import flowing_help
from sys2ft.cli.init import Init
from sys2ft.cli.ledger import LedgerAdd, LedgerList, LedgerRollback, LedgerShow
from sys2ft.cli.lint import Lint
from sys2ft.cli.lm_eval import LmEval
from sys2ft.cli.models import ModelsInfo, ModelsList, ModelsPull
from sys2ft.cli.news import NewsCheck, NewsExample
from sys2ft.cli.news_import import NewsImport
from sys2ft.cli.news_probe import NewsProbe
from sys2ft.cli.represent import Represent
from sys2ft.cli.run import Demo, Run
from sys2ft.cli.serve import Serve
from sys2ft.cli.signals import describe_stop, stopping_on_signals
from sys2ft.cli.stages import Evaluate, Generate, Report, Train
from sys2ft.cli.study import Studies, with_action
from sys2ft.errors import Sys2ftError, out_of_memory
from sys2ft.runs.provenance import versions
from sys2ft.terminal import lenient_streams, print, print_coloured, report, silence

_Models = (
    Annotated[ModelsList, subcommand("list")]
    | Annotated[ModelsPull, subcommand("pull")]
    | Annotated[ModelsInfo, subcommand("info")]
)


_News = (
    Annotated[NewsCheck, subcommand("check")]
    | Annotated[NewsAudit, subcommand("audit")]
    | Annotated[NewsExample, subcommand("example")]
    | Annotated[NewsImport, subcommand("import")]
    | Annotated[NewsProbe, subcommand("probe")]
)


_Ledger = (
    Annotated[LedgerAdd, subcommand("add")]
    | Annotated[LedgerList, subcommand("list")]
    | Annotated[LedgerShow, subcommand("show")]
    | Annotated[LedgerRollback, subcommand("rollback")]
)


@dataclass(frozen=True, slots=True)
class Models:
    """List models, convert or download one, describe one."""

    action: _Models

    def run(self) -> None:
        self.action.run()


@dataclass(frozen=True, slots=True)
class NewsFiles:
    """Work with news files: check, audit, print an example, import documents and data sets, write questions."""

    action: _News

    def run(self) -> None:
        self.action.run()


@dataclass(frozen=True, slots=True)
class LedgerOfNews:
    """Put news into one adapter update after update; list, show and undo the updates."""

    action: _Ledger

    def run(self) -> None:
        self.action.run()


Command = (
    Annotated[Run, subcommand("run")]
    | Annotated[Init, subcommand("init")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Studies, subcommand("study")]
    | Annotated[LedgerOfNews, subcommand("ledger")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[LmEval, subcommand("lm-eval")]
    | Annotated[Represent, subcommand("represent")]
    | Annotated[Models, subcommand("models")]
    | Annotated[NewsFiles, subcommand("news")]
    | Annotated[Lint, subcommand("lint")]
    | Annotated[Doctor, subcommand("doctor")]
)

_CONFIGURED = {"run": Run}
"""The commands that read a file of flags."""

_DESCRIPTION = """Put new facts into a language model's weights, and prove that they are there.

Versions: sys2ft --version. Completion in bash: eval "$(sys2ft --tyro-print-completion bash)"; in zsh: sys2ft
--tyro-print-completion zsh > ~/.zfunc/_sys2ft (a folder in fpath)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0, 1 when something failed, 2 for a wrong input, 130 after Ctrl-C, 143 after SIGTERM.

    `lint --strict` exits with 1 if it found something, `doctor` if it found a problem; `run`, `demo` and `evaluate
    --max-drop` if every protocol with an adapter was refused.
    """
    sys.exit(call(arguments))


def call(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A parsing error exits by itself, with 2."""
    words = with_action(list(sys.argv[1:] if arguments is None else arguments))
    lenient_streams()
    try:
        with stopping_on_signals():
            code = _run(with_config(words, _CONFIGURED))
        sys.stdout.flush()  # reports a full disk (`> file`) here, not at Python's exit
    except Sys2ftError as error:
        first, *rest = str(error).split("\n")
        report(f"sys2ft: {first}", *(f"  {line}" for line in rest))
        return error.exit_code
    except KeyboardInterrupt as stopped:
        said, code = describe_stop(stopped)
        report(said)
        return code
    except BrokenPipeError:
        # The reader of our output has ended (`sys2ft ... | head`): print nothing more, not even at exit.
        silence(sys.stdout)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        report("sys2ft: the disk is full: the output could not be written.", "  fix: free some space")
        silence(sys.stdout)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        report(
            "sys2ft: memory ran out. Finished work is kept.",
            "  fix: lower --tokens-at-once (represent: --chunk) and give the same command; if generation needs "
            "too much, lower --rows-at-once in a new folder",
        )
        return 1
    return code


def _run(words: Sequence[str]) -> int:
    """Run the command; its exit code is 0 unless it returns another."""
    if words == ["--version"]:
        print(_version())
        return 0
    mistakes = io.StringIO()  # they repeat the arguments, which may be names of files
    try:
        with contextlib.redirect_stderr(mistakes), flowing_help():
            command: Any = tyro.cli(
                Command,
                prog="sys2ft",
                description=_DESCRIPTION,
                args=words,
                config=(OmitArgPrefixes, OmitSubcommandPrefixes),
            )
    except SystemExit as ended:
        if refused := _cause(ended):  # by a setting itself: one error like all others, without the parser's frame
            mistakes = io.StringIO()
            raise refused from None
        raise
    finally:
        sys.stdout.flush()  # the help text, before the SystemExit that follows it
        print_coloured(mistakes.getvalue(), sys.stderr)
    return command.run() or 0


def _cause(error: BaseException) -> Sys2ftError | None:
    """The error of this package that was being handled when `error` was raised, if there is one."""
    context = error.__context__
    while context is not None and not isinstance(context, Sys2ftError):
        context = context.__context__
    return context


def _version() -> str:
    """Name and version, and those of the libraries that decide a result; from installed metadata, without torch."""
    found = versions()
    others = ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "transformers"))
    return f"sys2ft {found['sys2ft']} ({others})"
