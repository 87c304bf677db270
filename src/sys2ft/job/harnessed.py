"""Runs tasks of EleutherAI's `lm_eval` on a subject of a run folder: the base model or a protocol's adapters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sys2ft.engine import BASE, Bank
from sys2ft.errors import SettingsError
from sys2ft.files import digest, is_file_name
from sys2ft.job.trained import load_bank
from sys2ft.models import LoadedModel
from sys2ft.report.artifacts import BASE as BASE_NAME
from sys2ft.runs import Run, write_text


def run_harness(
    run: Run,
    model: LoadedModel,
    tasks: Sequence[str],
    *,
    subject: str = BASE_NAME,
    limit: int | None = None,
    include_path: Path | None = None,
    chat: bool = False,
) -> tuple[Path, str]:
    """Write what `lm_eval` finds to `lm-eval/<subject>/<tasks>.json`, and return the path and lm_eval's own table.

    Document i of a task is answered by the protocol's adapter i modulo their number. `chat` renders prompts by the
    model's chat template. Raises SettingsError without the extra `lm-eval`, for an unknown subject or task, and for
    data that cannot be loaded.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager
        from lm_eval.utils import handle_non_serializable, make_table

        from sys2ft.retention.harness import Sys2ftLM
    except ImportError as error:
        raise SettingsError(
            f"tasks of lm_eval, which cannot be imported: {error}",
            expected="the extra `lm-eval`",
            fix="pip install 'sys2ft[lm-eval]', in an environment of its own where other packages contradict it",
        ) from error
    # Reading lm_eval's thousands of task files takes a while, and tasks of the user's own need none of them.
    for with_its_own in (False, True):
        manager = TaskManager(include_path=str(include_path) if include_path else None, include_defaults=with_its_own)
        unknown = [name for name in tasks if not manager.match_tasks([name])]
        if not unknown:
            break
    if unknown or not tasks:
        raise SettingsError(
            f"tasks that lm_eval does not know: {', '.join(unknown)}" if unknown else "no task",
            expected="names of its tasks, or of those in the folder of --include-path",
            fix="list them: lm_eval ls tasks",
        )
    bank = _bank(run, model, subject)
    try:
        slots = range(bank.slots) if bank is not None else (BASE,)
        found: Any = simple_evaluate(
            model=Sys2ftLM(model, bank, tuple(slots)),
            tasks=manager.match_tasks(list(tasks)),
            limit=limit,
            task_manager=manager,
            apply_chat_template=chat,
            bootstrap_iters=1000,  # for the standard error of a perplexity; its default of 100,000 takes minutes
        )
    except OSError as error:  # also of a data set that is not there, or of no network
        raise SettingsError(
            f"lm_eval could not load what {', '.join(tasks)} needs: {error}",
            expected="its data on this machine, or a network",
            fix="download it first, or name tasks with local data by --include-path",
        ) from error
    finally:
        if bank is not None:
            bank.close()
    name = ".".join(tasks)
    place = run.path / "lm-eval" / subject / f"{name if is_file_name(name) else digest(list(tasks))[:16]}.json"
    with run.lock():
        write_text(place, json.dumps(found, indent=1, ensure_ascii=False, default=handle_non_serializable) + "\n")
    return place, str(make_table(found))


def _bank(run: Run, model: LoadedModel, subject: str) -> Bank | None:
    """The subject's adapters; None for the base. Raises SettingsError for a subject without adapters."""
    if subject == BASE_NAME:
        return None
    known = sorted(file.stem for file in (run.path / "training").glob("*.json"))
    bank = load_bank(run, model, subject) if subject in known else None
    if bank is None:
        raise SettingsError(
            f"the subject {subject!r}, of which {run.path} has no adapter",
            expected=f"base, or a protocol with adapters: {', '.join(known) or 'none'}",
            fix="correct --subject",
        )
    return bank
