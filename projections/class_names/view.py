"""What the classes of versions are called, so that a label which is none of them is known to be none."""

from projections.class_names.rows import CLASS_NAMES, class_names_row
from projections.feeds.events import EVENTS
from projections.projectors import TableProjector
from projections.view import View

VIEW = View(projectors=(TableProjector(feed=EVENTS, table=CLASS_NAMES, rows=class_names_row),))
