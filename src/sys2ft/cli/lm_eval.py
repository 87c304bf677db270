"""`sys2ft lm-eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sys2ft.cli.common import reopen
from sys2ft.runs import display
from sys2ft.terminal import print


@dataclass(frozen=True, kw_only=True, slots=True)
class LmEval:
    """Run tasks of EleutherAI's lm_eval on the base model or the adapters of a run folder (extra `lm-eval`)."""

    folder: Positional[Path]
    """Run folder."""
    tasks: tuple[str, ...]
    """Names of lm_eval's tasks, such as mmlu_pro."""
    subject: str = "base"
    """Who answers: base, or a protocol of the run."""
    limit: int | None = None
    """Documents of each task; None: all."""
    include_path: Path | None = None
    """Folder with more task files (YAML)."""
    chat: bool = False
    """Render prompts by the model's chat template."""
    quiet: bool = False
    """Show no progress."""

    def run(self) -> None:
        from sys2ft.job import run_harness

        with display(self.quiet) as show:
            run, model = reopen(self.folder, show)
            place, table = run_harness(
                run, model, self.tasks, subject=self.subject, limit=self.limit, include_path=self.include_path,
                chat=self.chat,
            )  # fmt: skip
        print(table)
        print(f"results   {place}")
