"""The tables of roll-ups, which outlive the rows that they are made of."""

import pyarrow as pa

from projections.tables import Retention, Table


def _rollups(name: str) -> Table:
    """Describe a table that is filled by statements, not by rows: of its columns, the time alone matters here."""
    return Table(
        name=name,
        columns=pa.schema([("start_ms", pa.int64())]),
        origin=(),
        time_column="start_ms",
        retention=Retention(days=400),
    )


REQUEST_ROLLUPS = _rollups("request_rollups")
ANSWER_ROLLUPS = _rollups("answer_rollups")
LABEL_ROLLUPS = _rollups("label_rollups")
SCORE_ROLLUPS = _rollups("score_rollups")
