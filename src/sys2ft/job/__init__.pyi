from .audit import (
    ModelAudit as ModelAudit,
    TextAudit as TextAudit,
    audit_model as audit_model,
    audit_text as audit_text,
)
from .cell import Cell as Cell
from .compared import Comparison as Comparison, Table as Table, WayRow as WayRow
from .comparing import compare as compare, pair_of as pair_of
from .fits import require_elements_fit as require_elements_fit, require_fit as require_fit, too_long as too_long
from .given import (
    Given as Given,
    fitted as fitted,
    given as given,
    out_of as out_of,
    require_sources as require_sources,
)
from .harnessed import run_harness as run_harness
from .main_job import (
    Result as Result,
    finish as finish,
    run as run,
    visible_difference as visible_difference,
)
from .plan import Left as Left, plan as plan
from .portions import elements_of as elements_of
from .refusals import (
    require_measurable as require_measurable,
    require_protocols as require_protocols,
    require_questions as require_questions,
    require_settings as require_settings,
)
from .stage_train import train_stage as train_stage
from .stages import (
    ask as ask,
    cell_of as cell_of,
    evaluate_stage as evaluate_stage,
    generate_stage as generate_stage,
    news_of as news_of,
    open_run as open_run,
    probe_stage as probe_stage,
    require_layers as require_layers,
)
from .trained import (
    Answering as Answering,
    forget as forget,
    is_trained as is_trained,
    write_adapters as write_adapters,
    write_training as write_training,
)
from .writing import open_writer as open_writer, require_writer as require_writer
