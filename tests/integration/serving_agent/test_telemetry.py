"""The agent looks at a real engine process, and what it finds reaches ClickHouse's rows as it was."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from infra.clock import SystemClock
from projections.messages import Message
from projections.views import projector_of
from schemas.topics import TELEMETRY
from tests.support.engine_process import running, write_model
from tests.support.plain_http import NO_AUTHORITIES
from workers.serving_agent.batch_sink import Headers
from workers.serving_agent.instance_book import InstanceRecord
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.shipping import MEASURED, Destination, SourceShipper, Totals
from workers.serving_agent.spool_sources import sources
from workers.serving_agent.telemetry import Looked, Telemetry


class Sent:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, topic: str, *, key: str, value: bytes, headers: Headers) -> None:
        message = Message(
            topic=topic, partition=0, offset=len(self.messages), timestamp_ms=1, key=key.encode(), value=value,
            headers=tuple(headers),
        )  # fmt: skip
        self.messages.append(message)


async def test_what_an_engine_uses_and_has_in_hand_is_sampled_and_shipped(tmp_path: Path) -> None:
    write_model(tmp_path / "engine" / "model", artifact_format="skops")
    with running(tmp_path / "engine") as engine:
        record = InstanceRecord(
            slot=Slot("deployment-1", 0),
            endpoint_id="endpoint-1",
            instance_id="instance-1",
            port=int(engine.url.rsplit(":", 1)[1]),
            boot_id="boot-1",
            pid=engine.process.pid,
        )
        looked = [Looked(record=record, workspace="default")]
        telemetry = Telemetry(tmp_path, host_id="agent", region="local", clock=SystemClock(), instances=lambda: looked)
        for _ in range(3):
            await telemetry.look()
            async with httpx.AsyncClient(timeout=180, verify=NO_AUTHORITIES) as client:
                await client.get(f"{engine.url}/v2")
            await asyncio.sleep(0.2)
        await telemetry.close()

    sink = Sent()
    ((directory, source),) = sources(telemetry.spools).items()
    to = Destination(sink=sink, stream=MEASURED, region="local", log_id="log-1")
    shipper = SourceShipper(directory, source, to=to, clock=SystemClock(), totals=Totals())
    while await shipper.ship_next(is_over=True) != "closing":
        pass
    rows = _rows(sink)
    of_instance = [row for row in rows if row["subject"] == "instance"]
    of_host = [row for row in rows if row["subject"] == "host"]

    assert {row["measure"] for row in of_instance} >= {
        "cpu_percent", "memory_bytes", "in_flight", "queue_depth", "requests_total", "model_memory_bytes",
    }  # fmt: skip
    assert {(row["workspace"], row["endpoint_id"], row["deployment_id"], row["boot_id"]) for row in of_instance} == {
        ("default", "endpoint-1", "deployment-1", "boot-1")
    }
    memory = [row["value"] for row in of_instance if row["measure"] == "memory_bytes"]
    assert len(memory) == 3
    assert min(memory) > 20_000_000
    # The first look has nothing to compare with, and says nothing rather than zero.
    assert len([row for row in of_instance if row["measure"] == "cpu_percent"]) == 2
    assert {row["measure"] for row in of_host} >= {"memory_bytes", "memory_limit_bytes", "disk_free_bytes"}
    if not os.path.exists("/dev/nvidia0"):  # noqa: PTH110
        assert not {row["measure"] for row in rows} & {"gpu_percent", "gpu_memory_bytes"}


async def test_an_engine_that_offers_nothing_has_its_process_measured_alone(tmp_path: Path) -> None:
    record = InstanceRecord(
        slot=Slot("deployment-1", 0), endpoint_id="endpoint-1", instance_id="instance-1", port=1, pid=os.getpid()
    )
    telemetry = Telemetry(
        tmp_path,
        host_id="agent",
        region="local",
        clock=SystemClock(),
        instances=lambda: [Looked(record=record, workspace="default")],
    )
    await telemetry.look()
    await telemetry.close()
    sink = Sent()
    ((directory, source),) = sources(telemetry.spools).items()
    to = Destination(sink=sink, stream=MEASURED, region="local", log_id="log-1")
    shipper = SourceShipper(directory, source, to=to, clock=SystemClock(), totals=Totals())
    await shipper.ship_next(is_over=True)

    assert {row["measure"] for row in _rows(sink) if row["subject"] == "instance"} == {"memory_bytes"}


def _rows(sink: Sent) -> list[dict[str, Any]]:
    tables = []
    for message in sink.messages:
        assert message.topic == TELEMETRY.name
        rows, _ = projector_of(TELEMETRY).project(message)
        assert isinstance(rows.values, pa.Table)
        tables.append(rows.values)
    return list(pa.concat_tables(tables).to_pylist())
