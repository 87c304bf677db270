from .holm import holm as holm, p_value as p_value
from .intervals import (
    DRAWS as DRAWS,
    FEWEST as FEWEST,
    expanded_interval as expanded_interval,
    noise_of_chance as noise_of_chance,
    resampling_weights as resampling_weights,
    student as student,
)
from .power import smallest_difference as smallest_difference
from .scaling import (
    Needed as Needed,
    Point as Point,
    Scaling as Scaling,
    fit_scaling as fit_scaling,
    trend as trend,
)
from .scores import (
    Item as Item,
    Outcomes as Outcomes,
    Score as Score,
    Undefined as Undefined,
    gap_share as gap_share,
    joint_differences as joint_differences,
    mean_over_news as mean_over_news,
    paired_difference as paired_difference,
)
from .seeds import (
    Seeded as Seeded,
    averaged as averaged,
    mean_over_seeds as mean_over_seeds,
    paired_over_seeds as paired_over_seeds,
)
