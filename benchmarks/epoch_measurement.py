"""How long one look at a rollout takes, by how long its step has lasted: from roll-ups, and from the rows alone.

ClickHouse is the stack's own program. Rows are made inside it, with the steady traffic of one endpoint: a tenth of the
requests is labelled. Rows are kept for longer than usual, so that both ways count the same.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from benchmarks.figures import Figure, below
from benchmarks.programs import new_folder, running
from infra.clock import SystemClock
from infra.ports import free_ports, is_free
from infra.stack.addresses import LOOPBACK
from projections.measurement.queries import measure_epoch
from projections.reading import Reader
from projections.retention.expiry import keep_rows
from projections.rollups.arrivals import ARRIVE_AGAIN
from projections.rollups.roller import Roller
from projections.rollups.spans import DAY_MS
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date
from projections.views import TABLES
from projections.watermarks.rows import SOURCES
from schemas.measurement import Measured, MeasureEpoch

_DAYS = (1, 10)
_DAYS_FULL = (1, 10, 90)
_REQUESTS_A_DAY = 43_200
_LOOKS = 40
_LOOKS_AT_ROWS = 3
_KEPT_DAYS = 400
_STATEMENT_S = 600
_EPOCH = 7
_QUESTION = MeasureEpoch(
    epoch=_EPOCH, candidate="green", baseline="blue", latency_threshold_ms=50.0, feedback_name="label"
)

_TRAFFIC = """
    SELECT {began_ms:Int64} + number * {apart_ms:Int64} AS at_ms,
           concat(toString(at_ms), '-00000000-0000-4000-8000-', leftPad(lower(hex(number)), 12, '0')) AS prediction_id,
           if(number % 4 = 0, 'green', 'blue') AS deployment_id, number % 3 AS answer
    FROM numbers({rows:UInt64})
"""
_FILL = (
    f"""
    INSERT INTO request_records (prediction_id, workspace, endpoint_id, endpoint, deployment_id, version_id, version,
        epoch, role, status, started_at_ms, ended_at_ms, duration_ms, gateway_id, file_number, byte_offset)
    SELECT prediction_id, 'default', 'endpoint-1', 'digits', deployment_id, 'version-1', 'digits/1', {_EPOCH},
           'primary', if(rand() % 200 = 0, 500, 200), at_ms, at_ms + 5, exp(randNormal(1.5, 0.7)), 'gateway-1', 0,
           at_ms - {{began_ms:Int64}}
    FROM ({_TRAFFIC})
    """,  # noqa: S608  our own text
    f"""
    INSERT INTO prediction_index (workspace, started_at_ms, prediction_id, role, endpoint_id, deployment_id, version,
        epoch)
    SELECT 'default', at_ms, prediction_id, 'primary', 'endpoint-1', deployment_id, 'digits/1', {_EPOCH}
    FROM ({_TRAFFIC})
    """,  # noqa: S608  our own text
    f"""
    INSERT INTO observation_records (prediction_id, workspace, endpoint_id, deployment_id, captured_at_ms, status,
        prediction, retention_days, boot_id, batch, row)
    SELECT prediction_id, 'default', 'endpoint-1', deployment_id, at_ms + 3, 200, toString(answer), {_KEPT_DAYS},
           'boot-1', at_ms - {{began_ms:Int64}}, 0
    FROM ({_TRAFFIC})
    """,  # noqa: S608  our own text
    f"""
    INSERT INTO feedback (workspace, prediction_id, source, name, value, observed_at_ms, received_at_ms)
    SELECT 'default', prediction_id, 'api', 'label', toString(rand() % 10 = 0 ? answer + 1 : answer), at_ms, at_ms
    FROM ({_TRAFFIC}) WHERE cityHash64(prediction_id) % 10 = 0
    """,  # noqa: S608  our own text
)
_SETTINGS = {"max_partitions_per_insert_block": "0", "max_execution_time": str(_STATEMENT_S)}


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Look at steps of different lengths, each in a database of its own."""
    for days in _DAYS_FULL if full else _DAYS:
        with new_folder() as folder:
            (port,) = free_ports(1)
            settings = {"HOST": LOOPBACK, "PORT": str(port), "DATA_DIR": str(folder / "clickhouse")}
            settings["MAX_EXECUTION_SECONDS"] = str(_STATEMENT_S)
            with running("clickhouse", settings, is_ready=partial(_answers, port)):
                yield asyncio.run(_measure(f"http://default@{LOOPBACK}:{port}/default", days=days))


def _answers(port: int) -> bool:
    return not is_free(port)


async def _measure(url: str, *, days: int) -> list[Figure]:
    store = ClickHouseStore(url, answer_s=_STATEMENT_S)
    try:
        rows = await _fill(store, days=days)
        reader = Reader(store, clock=SystemClock())
        by_rows, from_rows = await _looks(reader, _LOOKS_AT_ROWS)
        began = time.monotonic()
        kept_ms = _KEPT_DAYS * DAY_MS
        roller = Roller(store, clock=SystemClock(), kept_ms={"requests": kept_ms, "predictions": kept_ms})
        await roller.roll_up()
        took_s = time.monotonic() - began
        by_rollups, from_rollups = await _looks(reader, _LOOKS)
    finally:
        await store.close()
    assert from_rollups.arms == from_rows.arms, "both ways count the same"
    prefix = f"a step of {days} days"
    return [
        Figure(
            name=f"{prefix}: one look, from roll-ups",
            value=1000 * statistics.median(by_rollups),
            unit="ms",
            goal=below(100),
            note=f"p95 {1000 * sorted(by_rollups)[int(0.95 * len(by_rollups))]:.0f} ms of {_LOOKS}, {rows:,} requests",
        ),
        Figure(
            name=f"{prefix}: one look, from the rows",
            value=1000 * statistics.median(by_rows),
            unit="ms",
            note=f"of {_LOOKS_AT_ROWS}",
        ),
        Figure(name=f"{prefix}: rolled up at first", value=took_s, unit="s"),
    ]


async def _fill(store: ClickHouseStore, *, days: int) -> int:
    await bring_up_to_date(store)
    await keep_rows(store, TABLES, {table.name: _KEPT_DAYS for table in TABLES if table.has_retention_setting})
    now_ms = SystemClock().now_ms()
    rows = days * _REQUESTS_A_DAY
    for ago in range(days, 0, -1):
        parameters = {
            "began_ms": now_ms - ago * DAY_MS,
            "apart_ms": DAY_MS // _REQUESTS_A_DAY,
            "rows": _REQUESTS_A_DAY,
        }
        for statement in _FILL:
            await store.command(statement, parameters, _SETTINGS)
    for statement in ARRIVE_AGAIN:
        await store.command(statement)
    for kind in ("requests", "observations"):
        source = {
            "kind": kind, "source": kind, "region": "local", "batch": 0, "rows": rows, "closed_until_ms": now_ms,
            "is_closing": 0, "first_seen_ms": now_ms, "last_seen_ms": now_ms, "seen": rows, "unsampled": 0,
        }  # fmt: skip
        await store.insert(SOURCES.name, pa.Table.from_pylist([source], schema=SOURCES.columns), token=kind)
    return rows


async def _looks(reader: Reader, number: int) -> tuple[list[float], Measured]:
    took: list[float] = []
    for _ in range(number):
        began = time.monotonic()
        found = await measure_epoch(reader, _QUESTION, workspace="default", endpoint_id="endpoint-1")
        took.append(time.monotonic() - began)
    return took, found
