from .needs import require_items_fit as require_items_fit, unit_needs as unit_needs
from .retained import RetentionProbe as RetentionProbe, retained as retained, set_measurements as set_measurements
from .sets import (
    BUNDLED as BUNDLED,
    RetentionItem as RetentionItem,
    RetentionSet as RetentionSet,
    read_set as read_set,
    read_sets as read_sets,
)
