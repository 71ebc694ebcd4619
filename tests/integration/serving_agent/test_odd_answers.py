"""Servers of others write anything into answers and metrics; the agent and the autoscaler outlive it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from infra.clock import SystemClock
from schemas.events.registry import GoldenExample, GoldenInput
from serving.capture import records
from serving.capture.records import ObservationRecord
from workers.autoscaler.engine_load import Engines
from workers.autoscaler.errors import PartAwayError as LoadAwayError
from workers.autoscaler.picture import Instance
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.errors import NeverServesError, PartAwayError
from workers.serving_agent.instance_book import InstanceRecord
from workers.serving_agent.observation_batches import decode_frames
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.openai_client import OpenAiClient
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.telemetry import Looked, Telemetry

NESTED = b"[" * 100_000
HUGE = b"1" + b"0" * 400
BODIES = {
    "nested": b'{"outputs": ' + NESTED,
    "nested where nobody looks": b'{"odd": ' + NESTED,
    "no text": b'{"outputs": [{"name": "\xff\xfe", "data": [1]}]}',
    "half a surrogate": rb'{"outputs": [{"name": "\ud800", "data": ["\ud800"]}], "choices": [{"text": "\ud800"}]}',
    "a number beyond measure": b'{"outputs": [{"name": "label", "data": [' + HUGE + b"]}]}",
    "an embedding beyond measure": b'{"data": [{"embedding": [' + HUGE + b"]}]}",
    "a place beyond measure": b'{"choices": [{"text": "b", "index": ' + HUGE + b"}]}",
    "nothing": b"",
}
HEADS = {
    "compressed, it says": b"content-encoding: gzip\r\n",
    "in a codec that is no alphabet": b"content-type: text/plain; charset=base64\r\n",
    "in an alphabet that nobody knows": b"content-type: application/json; charset=\xff\xfe\r\n",
}
NUMBERS = GoldenExample(
    inputs=(GoldenInput(name="text", datatype="BYTES", shape=(1,), data=("a",)),), outputs={"label": (1.0,)}
)
TEXTS = msgspec.structs.replace(NUMBERS, outputs={"label": ("a",)})


@asynccontextmanager
async def answering(body: bytes, head: bytes = b"", *, status: bytes = b"200 OK") -> AsyncIterator[int]:
    """Give every request the same answer; yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + head + length + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask_everything(client: EngineClient) -> None:
    """Ask all that the agent asks; every answer is one that it expects, or says how it is wrong."""
    try:
        with pytest.raises(PartAwayError):
            await client.identity()
        assert await client.is_ready() in {True, False}
        assert await client.is_live() in {True, False}
        for golden in (NUMBERS, TEXTS):
            with pytest.raises((NeverServesError, PartAwayError)):
                await client.check_golden("odd", golden)
    finally:
        await client.close()


@pytest.mark.parametrize("client", [OipClient, OpenAiClient])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_odd_answer_is_a_wrong_answer(body: bytes, client: type[OipClient | OpenAiClient]) -> None:
    async with answering(body) as port:
        await ask_everything(client(host="127.0.0.1", port=port))


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 Away"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_an_answer_that_is_not_what_its_head_says_is_no_good_one(head: bytes, status: bytes) -> None:
    async with answering(b"\xff\x00 odd", head, status=status) as port:
        for client in (OipClient, OpenAiClient):
            await ask_everything(client(host="127.0.0.1", port=port))


METRICS = {
    "no text": b"in_flight \xff\xfe 1\n",
    "no number": b"vllm:num_requests_waiting one\n",
    "braces without end": b'vllm:num_requests_waiting{a="' + b"{" * 1_000,
    "an odd time": b"# TYPE odd histogram\nodd_bucket{le=} 1 \xff\n",
}


@pytest.mark.parametrize("metrics", METRICS.values(), ids=METRICS)
async def test_odd_metrics_leave_the_others_measured(metrics: bytes, tmp_path: Path) -> None:
    looked: list[Looked] = []
    telemetry = Telemetry(tmp_path, host_id="agent", region="local", clock=SystemClock(), instances=lambda: looked)
    head = b"content-type: application/openmetrics-text; charset=base64\r\n"
    async with answering(metrics, head) as odd, answering(b"vllm:num_requests_waiting 3\n") as good:
        for number, port in enumerate((odd, good)):
            name = f"instance-{number}"
            slot = Slot("deployment-1", number)
            record = InstanceRecord(slot=slot, endpoint_id="e", instance_id=name, port=port, pid=os.getpid())
            looked.append(Looked(record=record, workspace="default"))
        await telemetry.look()
        instances = [
            Instance(id=str(port), deployment_id="d", phase="announced", host="127.0.0.1", port=port)
            for port in (odd, good)
        ]
        engines = Engines()
        counters = await engines.counters(instances[1:])
        # What cannot be read is said to be away, or is left out: no other error comes of it.
        with suppress(LoadAwayError):
            assert (await engines.counters(instances[:1]))[str(odd)].waiting is None
        await engines.close()
    await telemetry.close()

    assert counters[str(good)].waiting == 3
    assert b"queue_depth" in b"".join(path.read_bytes() for path in telemetry.spools.rglob("*") if path.is_file())


def test_a_record_that_no_column_holds_is_left_out_and_the_next_one_is_read() -> None:
    good = ObservationRecord("p", 1, 200, 1.0, "", "", "")
    wrong = [["r", "p", 1, 70_000, 1.0, "", "", ""], ["r", "p", 1, 200, 1.0, "", "", "", 0, 7, 2**63]]
    payloads = [*map(msgspec.json.encode, wrong), b'["r", "\xff"]', NESTED, records.encode(good)]

    assert decode_frames(payloads).rows == (good,)
