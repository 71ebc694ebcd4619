"""How many rows arrived of each minute: the sign that something is to be rolled up, whenever it arrives.

A row counts before it can be seen in a roll-up, and each time that it arrives; so a roll-up that was made of the number
that is there now has everything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from projections.feeds.batches import EARLIEST_MS, LATEST_MS, Batch
from projections.messages import Message
from projections.rollups.spans import MINUTE_MS, Kind, floor
from projections.rollups.statements import minute_of
from projections.tables import Rows, Table
from schemas.identifiers import prediction_started_at_ms
from schemas.observations import Feedback

ARRIVALS = Table(
    name="rollup_arrivals",
    columns=pa.schema([("kind", pa.string()), ("minute_ms", pa.int64()), ("rows", pa.uint64())]),
    counts=True,
    origin=(),
)

ARRIVE_AGAIN = (
    f"""
    INSERT INTO rollup_arrivals (kind, minute_ms, rows)
    SELECT 'requests', {minute_of("ended_at_ms")} AS minute_ms, count() FROM request_records GROUP BY minute_ms
    """,  # noqa: S608  our own names
    f"""
    INSERT INTO rollup_arrivals (kind, minute_ms, rows)
    SELECT 'predictions', {minute_of("started_at_ms")} AS minute_ms, count() FROM prediction_index GROUP BY minute_ms
    """,  # noqa: S608  our own names
)
"""Makes every minute due whose rows are there: after a rebuild they may be others than before."""


def of_requests(batch: Batch, _message: Message) -> Rows:
    """Count requests by the minutes in which they ended, and as predictions by those in which they began."""
    ended = batch.columns["ended_at_ms"].to_pylist()
    return _rows({"requests": ended, "predictions": _starts(batch)})


def of_observations(batch: Batch, _message: Message) -> Rows:
    """Count observations by the minutes in which their requests began."""
    return _rows({"predictions": _starts(batch)})


def of_feedback(feedback: Feedback, _message: Message) -> Rows:
    """Count a document in the minute in which its request began."""
    started_at_ms = prediction_started_at_ms(feedback.prediction_id)
    return _rows({"predictions": () if started_at_ms is None else (started_at_ms,)})


def _starts(batch: Batch) -> list[int]:
    ids = pc.unique(batch.columns["prediction_id"]).to_pylist()
    return [started_at_ms for one in ids if (started_at_ms := prediction_started_at_ms(one)) is not None]


def _rows(times: Mapping[Kind, Iterable[int]]) -> Rows:
    """Make a row for each minute; a time out of bounds, which callers can make up in an id, is of no request."""
    found = {
        kind: Counter(floor(at_ms, MINUTE_MS) for at_ms in those if EARLIEST_MS <= at_ms < LATEST_MS)
        for kind, those in times.items()
    }
    values = [
        {"kind": kind, "minute_ms": minute_ms, "rows": rows}
        for kind, counted in found.items()
        for minute_ms, rows in sorted(counted.items())
    ]
    return Rows(ARRIVALS, values)
