"""Requests, errors, latency and tokens."""

from functools import partial

from projections.feeds.batches import REQUEST_BATCHES, batch_rows
from projections.projectors import TableProjector
from projections.serving_metrics.operations import operations
from projections.serving_metrics.rows import REQUEST_RECORDS
from projections.view import View

VIEW = View(
    projectors=(
        TableProjector(feed=REQUEST_BATCHES, table=REQUEST_RECORDS, rows=partial(batch_rows, table=REQUEST_RECORDS)),
    ),
    operations=operations,
)
