"""What the features of each version looked like, minute by minute."""

from projections.feature_summaries.operations import operations
from projections.feature_summaries.rows import FEATURE_SUMMARIES, summary_rows
from projections.feeds.batches import OBSERVATION_BATCHES
from projections.projectors import TableProjector
from projections.view import View

VIEW = View(
    projectors=(TableProjector(feed=OBSERVATION_BATCHES, table=FEATURE_SUMMARIES, rows=summary_rows),),
    operations=operations,
)
