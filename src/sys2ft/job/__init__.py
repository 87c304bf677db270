"""Room `job`: the main job on a run folder, stage by stage and as a whole."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.job.audit import ModelAudit, TextAudit, audit_model, audit_text
    from sys2ft.job.main_job import Result, finish, run
    from sys2ft.job.stages import evaluate_stage, generate_stage, news_of, open_run, require_protocols, train_stage

__all__ = [
    "ModelAudit",
    "Result",
    "TextAudit",
    "audit_model",
    "audit_text",
    "evaluate_stage",
    "finish",
    "generate_stage",
    "news_of",
    "open_run",
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
        "finish": "main_job",
        "generate_stage": "stages",
        "news_of": "stages",
        "open_run": "stages",
        "require_protocols": "stages",
        "run": "main_job",
        "train_stage": "stages",
    },
)
