"""Room `job`: the main job on a run folder, stage by stage and as a whole."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.job.audit import ModelAudit, TextAudit, audit_model, audit_text
    from sys2ft.job.main_job import Result, finish, run
    from sys2ft.job.stages import (
        evaluate_stage,
        generate_stage,
        news_of,
        open_run,
        probe_stage,
        require_protocols,
        train_stage,
    )
    from sys2ft.job.study import Study, finish_study, represent

__all__ = [
    "ModelAudit",
    "Result",
    "Study",
    "TextAudit",
    "audit_model",
    "audit_text",
    "evaluate_stage",
    "finish",
    "finish_study",
    "generate_stage",
    "news_of",
    "open_run",
    "probe_stage",
    "represent",
    "require_protocols",
    "run",
    "train_stage",
]

__getattr__ = contents(
    __name__,
    {
        "ModelAudit": "audit",
        "Result": "main_job",
        "TextAudit": "audit",
        "audit_model": "audit",
        "audit_text": "audit",
        "evaluate_stage": "stages",
        "Study": "study",
        "finish": "main_job",
        "finish_study": "study",
        "generate_stage": "stages",
        "news_of": "stages",
        "open_run": "stages",
        "represent": "study",
        "probe_stage": "stages",
        "require_protocols": "stages",
        "run": "main_job",
        "train_stage": "stages",
    },
)
