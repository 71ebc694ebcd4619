"""What served a prediction, and the event that routed it."""

from projections.feeds.batches import REQUEST_BATCHES
from projections.predictions.operations import operations
from projections.predictions.rows import PREDICTION_INDEX, index_rows
from projections.projectors import TableProjector
from projections.view import View

VIEW = View(
    projectors=(TableProjector(feed=REQUEST_BATCHES, table=PREDICTION_INDEX, rows=index_rows),),
    operations=operations,
)
