"""What versions answered, what became known of it later, and how often they were right."""

from functools import partial

from projections.feeds.batches import OBSERVATION_BATCHES, batch_rows
from projections.feeds.feedback import FEEDBACK
from projections.projectors import TableProjector
from projections.quality.operations import operations
from projections.quality.rows import FEEDBACK_ROWS, OBSERVATION_RECORDS, feedback_row
from projections.view import View

VIEW = View(
    projectors=(
        TableProjector(
            feed=OBSERVATION_BATCHES, table=OBSERVATION_RECORDS, rows=partial(batch_rows, table=OBSERVATION_RECORDS)
        ),
        TableProjector(feed=FEEDBACK, table=FEEDBACK_ROWS, rows=feedback_row),
    ),
    operations=operations,
)
