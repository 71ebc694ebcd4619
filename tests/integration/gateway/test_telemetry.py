"""What a real Envoy has counted, as the gateway's telemetry ships it."""

import io
from collections.abc import AsyncIterator

import httpx
import pyarrow as pa
import pytest

from infra.background import Background
from infra.clock import SystemClock
from schemas.topics import TELEMETRY
from serving.gateway.shipping import Headers
from serving.gateway.telemetry import GatewayTelemetry
from tests.support.gateway import Gateway, until
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"


class LastSample:
    """Keeps the measures that were shipped last."""

    def __init__(self) -> None:
        self.measures: dict[str, float] = {}

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None:
        assert (topic, bool(key), bool(headers)) == (TELEMETRY.name, True, True)
        rows = pa.ipc.open_stream(io.BytesIO(value)).read_all().to_pylist()
        self.measures = {row["measure"]: row["value"] for row in rows}


@pytest.fixture
async def sampled(gateway: Gateway) -> AsyncIterator[LastSample]:
    last = LastSample()
    telemetry = GatewayTelemetry(
        last, admin_port=gateway.ports.admin, region="local", log_id="log-1", clock=SystemClock()
    )
    async with Background().running({"telemetry": lambda: telemetry.run(interval_s=0.05)}):
        yield last


async def test_what_is_not_counted_yet_is_zero_and_a_retry_is_counted(
    gateway: Gateway, client: httpx.AsyncClient, sampled: LastSample
) -> None:
    gateway.tell(ENDPOINT, created())
    dead, _ = await gateway.add(ENDPOINT, "d1", instances=2)
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))
    assert (await client.post(INFER, json={})).status_code == 200
    await until(lambda: sampled.measures.get("requests_total", 0) > 0, why="a request counted")
    before = sampled.measures

    await dead.kill()
    await until(lambda: _asked(client, sampled), why="a retry counted")

    never = dict.fromkeys(("retries_total", "sent_once_total", "refused_connections_total"), 0.0)
    assert before.items() >= never.items()
    assert before.keys() == never.keys() | {"connections", "in_flight", "requests_total", "memory_bytes"}
    assert before["memory_bytes"] > 0
    assert sampled.measures["requests_total"] > before["requests_total"]


async def _asked(client: httpx.AsyncClient, sampled: LastSample) -> bool:
    assert (await client.post(INFER, json={})).status_code == 200
    return sampled.measures["retries_total"] > 0
