"""Samples Envoy's counters and gauges, and ships each sample as a batch; while Kafka is away, samples are lost."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import msgspec
import pyarrow as pa
import structlog

from infra.clock import Clock
from schemas.observations import TELEMETRY_COLUMNS, BatchHeaders
from schemas.topics import TELEMETRY
from serving.gateway.local_http import LocalConnection
from serving.gateway.shipping import Sink

_TYPES = {"string": pa.string(), "int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64()}
_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in TELEMETRY_COLUMNS.items()])
_SUMS = {
    "connections": r"http\.public\.downstream_cx_active",
    "in_flight": r"http\.public\.downstream_rq_active",
    "requests_total": r"http\.public\.downstream_rq_completed",
    "memory_bytes": r"server\.memory_physical_size",
    "retries_total": r"cluster\..*\.upstream_rq_retry",
    "sent_once_total": r"cluster\..*\.retry_or_shadow_abandoned",
    "refused_connections_total": r"listener\..*\.downstream_global_cx_overflow",
}
"""Each measure, with the counters and gauges of Envoy that it sums."""
# Envoy answers on the thread that takes its configuration: with 1,000 endpoints, counters and gauges at once and with
# those that never counted took it 250 ms.
_ASKED = tuple(
    f"/stats?format=json&usedonly&type={kind}&filter=^({'|'.join(_SUMS.values())})$".replace("\\", "%5C")
    for kind in ("Counters", "Gauges")
)

_log = structlog.get_logger(__name__)


class _Stat(msgspec.Struct, frozen=True):
    name: str = ""
    value: float = 0.0


class _Stats(msgspec.Struct, frozen=True):
    stats: list[_Stat]


class _Node(msgspec.Struct, frozen=True):
    id: str


class _ServerInfo(msgspec.Struct, frozen=True):
    node: _Node


class GatewayTelemetry:
    """One source. Its batches are numbered; only the one being sent is held."""

    def __init__(self, sink: Sink, *, admin_port: int, region: str, log_id: str, clock: Clock) -> None:
        self._sink = sink
        self._admin = LocalConnection(admin_port)
        self._region = region
        self._log_id = log_id
        self._clock = clock
        self._source = f"gateway-telemetry-{uuid4()}"
        self._batch = 0

    async def run(self, *, interval_s: float) -> None:
        """Sample and ship until cancelled; a gateway that does not answer is tried again."""
        try:
            while True:
                try:
                    await self._ship(await self._sample())
                except (ConnectionError, msgspec.DecodeError) as error:
                    _log.debug("gateway_not_sampled", reason=repr(error))
                await asyncio.sleep(interval_s)
        finally:
            self._admin.close()

    async def _sample(self) -> list[dict[str, Any]]:
        info = msgspec.json.decode((await self._admin.request("GET", "/server_info")).body, type=_ServerInfo)
        answers = [(await self._admin.request("GET", asked)).body for asked in _ASKED]
        shared = {
            **dict.fromkeys(TELEMETRY_COLUMNS, ""),
            "subject": "gateway",
            "subject_id": info.node.id,
            "boot_id": info.node.id,
            "region": self._region,
            "sampled_at_ms": self._clock.now_ms(),
            "source_id": self._source,
            "batch": self._batch,
        }
        measures = _measures(answers)
        return [
            {**shared, "measure": name, "value": value, "row": row}
            for row, (name, value) in enumerate(measures.items())
        ]

    async def _ship(self, rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, _SCHEMA) as writer:
            writer.write_table(table)
        headers = BatchHeaders(
            source=self._source,
            kind="telemetry",
            region=self._region,
            batch=self._batch,
            rows=len(rows),
            closed_until_ms=rows[0]["sampled_at_ms"] if rows else self._clock.now_ms(),
            state="open",
            log_id=self._log_id,
        )
        value = bytes(buffer.getvalue())
        await self._sink.send(TELEMETRY.name, key=self._source, value=value, headers=headers.as_kafka())
        self._batch += 1


def _measures(answers: Iterable[bytes]) -> Mapping[str, float]:
    """Sum what Envoy answers over matching names; it leaves out what it has not counted yet."""
    found = dict.fromkeys(_SUMS, 0.0)
    for stat in (stat for answer in answers for stat in msgspec.json.decode(answer, type=_Stats).stats):
        for measure, pattern in _SUMS.items():
            if re.fullmatch(pattern, stat.name):
                found[measure] += stat.value
    return found
