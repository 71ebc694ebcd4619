"""All that was said of predictions: how much of it is late, repeated, contradicting, or of no known prediction."""

from projections.feedback_history.operations import operations
from projections.feedback_history.rows import FEEDBACK_HISTORY, history_row
from projections.feeds.feedback import FEEDBACK
from projections.projectors import TableProjector
from projections.view import View

VIEW = View(
    projectors=(TableProjector(feed=FEEDBACK, table=FEEDBACK_HISTORY, rows=history_row),),
    operations=operations,
)
