"""How many rows arrived of each minute: the sign that something is to be rolled up, whenever it arrives.

A row counts before it can be seen in a roll-up, and each time that it arrives; so a roll-up that was made of the number
that is there now has everything.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from projections.feeds.batches import EARLIEST_MS, LATEST_MS, Batch
from projections.messages import Message
from projections.rollups.spans import MINUTE_MS, Kind
from projections.tables import Rows, Table
from schemas.identifiers import prediction_started_at_ms
from schemas.observations import Feedback

_STARTED_AT = "^[0-9]{13}-"
_STARTED_AT_DIGITS = 13

ARRIVALS = Table(
    name="rollup_arrivals",
    columns=pa.schema([("kind", pa.string()), ("minute_ms", pa.int64()), ("rows", pa.uint64())]),
    counts=True,
    origin=(),
)

_ARRIVE_AGAIN = f"""
    INSERT INTO rollup_arrivals (kind, minute_ms, rows)
    SELECT '<kind>', intDiv(<time>, {MINUTE_MS}) * {MINUTE_MS} AS minute_ms, count() FROM <table> GROUP BY minute_ms
"""  # noqa: S608  our own names
ARRIVE_AGAIN = (
    _ARRIVE_AGAIN.replace("<kind>", "requests").replace("<time>", "ended_at_ms").replace("<table>", "request_records"),
    _ARRIVE_AGAIN.replace("<kind>", "predictions")
    .replace("<time>", "started_at_ms")
    .replace("<table>", "prediction_index"),
)
"""Makes every minute due whose rows are there: after a rebuild they may be others than before."""


def of_requests(batch: Batch, _message: Message) -> Rows:
    """Count requests by the minutes in which they ended, and as predictions by those in which they began."""
    return _rows({"requests": batch.columns["ended_at_ms"], "predictions": _starts(batch)})


def of_observations(batch: Batch, _message: Message) -> Rows:
    """Count observations by the minutes in which their requests began."""
    return _rows({"predictions": _starts(batch)})


def of_feedback(feedback: Feedback, _message: Message) -> Rows:
    """Count a document in the minute in which its request began."""
    started_at_ms = prediction_started_at_ms(feedback.prediction_id)
    return _rows({"predictions": pa.array([started_at_ms], type=pa.int64()).drop_null()})


def _starts(batch: Batch) -> pa.ChunkedArray:
    ids = batch.columns["prediction_id"]
    made_here = ids.filter(pc.match_substring_regex(ids, _STARTED_AT))
    return pc.utf8_slice_codeunits(made_here, 0, _STARTED_AT_DIGITS).cast(pa.int64())


def _rows(times: Mapping[Kind, pa.Array | pa.ChunkedArray]) -> Rows:
    """Make a row for each minute; a time out of bounds, which callers can make up in an id, is of no request."""
    values: list[dict[str, object]] = []
    for kind, all_ms in times.items():
        known = pc.and_(pc.greater_equal(all_ms, EARLIEST_MS), pc.less(all_ms, LATEST_MS))
        minutes = pc.divide(all_ms.filter(known), MINUTE_MS)
        values += [
            {"kind": kind, "minute_ms": each["values"] * MINUTE_MS, "rows": each["counts"]}
            for each in pc.value_counts(minutes).to_pylist()
        ]
    return Rows(ARRIVALS, values)
