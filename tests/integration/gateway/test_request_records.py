import asyncio
import json
import signal
from collections import Counter

import httpx
import pytest

from serving.gateway import names
from serving.gateway.log_files import log_numbers
from tests.support.gateway import Gateway, envoy_program, is_ready, refused_body, running, until
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.records import KeepingSink, shipping
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"


async def serve(gateway: Gateway) -> int:
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1")
    epoch = gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await gateway.serves(ENDPOINT, epoch)
    return epoch


async def test_every_request_has_exactly_one_record_with_its_status(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    epoch = await serve(gateway)
    sink = KeepingSink()
    sent: dict[str, int] = {}

    async with shipping(gateway, sink):
        for turn in range(120):
            path = ("/v2/models/unknown/infer", INFER, INFER)[turn % 3]
            headers = {"authorization": "Bearer none"} if turn % 10 == 0 else {}
            if turn % 40 == 1:
                answer = await refused_body(gateway, path, 2_000_000, **headers)
            else:
                answer = await client.post(path, content=b"x" * 10, headers=headers)
            sent[answer.headers["x-prediction-id"]] = answer.status_code
        aborted = await _abort_one(gateway, client)
        await until(lambda: len(_primary(sink)) >= len(sent) + aborted, why="all records")
        # One that comes twice comes before that of a later request.
        last = (await client.post(INFER, json={})).headers["x-prediction-id"]
        await until(lambda: last in {record["prediction_id"] for record in _primary(sink)}, why="the last record")

    records = [record for record in _primary(sink) if record["prediction_id"] != last]
    by_id = {record["prediction_id"]: record for record in records}
    assert len(records) == len(sent) + aborted == len(by_id)
    assert {key: by_id[key]["status"] for key in sent} == sent
    assert Counter(sent.values()).keys() == {200, 401, 404, 413}
    for record in records:
        has_endpoint = record["status"] in {0, 200}
        assert (record["endpoint_id"], record["epoch"]) == ((ENDPOINT, epoch) if has_endpoint else ("", -1))
    assert {record["version"] for record in records if record["status"] == 200} == {"digits/1"}
    assert [record["deployment_id"] for record in records if record["prediction_id"] not in sent] == ["d1"]


async def _abort_one(gateway: Gateway, client: httpx.AsyncClient) -> int:
    """Send a request and go away before its answer; its record has no status, but the deployment."""
    gateway.back_ends[0].may_answer.clear()
    before = gateway.back_ends[0].requests
    call = asyncio.create_task(client.post(INFER, json={}))
    await until(lambda: gateway.back_ends[0].requests > before)
    call.cancel()
    gateway.back_ends[0].may_answer.set()
    return 1


def _logged(gateway: Gateway) -> set[str]:
    lines = (gateway.folder / names.LIVE_LOG).read_bytes().splitlines(keepends=True)
    return {json.loads(line).get("id", "") for line in lines if line.endswith(b"\n")}


def _primary(sink: KeepingSink) -> list[dict[str, object]]:
    return [row for row in sink.rows.values() if row["role"] == "primary"]


async def test_probes_are_recorded_as_probes(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    sink = KeepingSink()

    async with shipping(gateway, sink):
        await until(lambda: any(row["role"] == "probe" for row in sink.rows.values()))

    assert _primary(sink) == []


@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_that_ended_before_the_watermark_comes_later(gateway: Gateway, workers: int) -> None:
    await gateway.envoy.stop()
    two = envoy_program(
        gateway.data_dir,
        gateway.ports,
        ROLLBOOK_ENVOY_CONCURRENCY=str(workers),
        ROLLBOOK_ENVOY_ROTATE_AT_BYTES="50000",
        ROLLBOOK_ENVOY_ROTATION_CHECK_S="0.2",
    )
    sink = KeepingSink()
    answered: set[str] = set()
    is_over = asyncio.Event()

    def watermarks() -> set[int]:
        return {header.closed_until_ms for header, _ in sink.batches}

    async with running(two):
        await until(lambda: is_ready(gateway.ports))
        await serve(gateway)
        callers = [asyncio.create_task(_call(gateway, answered, is_over)) for _ in range(6)]
        for turn in range(4):
            # Each turn is another shipper; the one before ends without a word.
            async with shipping(gateway, sink):
                await until(lambda wanted=5 * (turn + 1): len(watermarks()) >= wanted, why="a watermark that moves")
                await until(lambda wanted=150 * (turn + 1): len(answered) >= wanted, why="requests meanwhile")
        is_over.set()
        await asyncio.gather(*callers)
        async with shipping(gateway, sink):
            await until(lambda: answered <= {row["prediction_id"] for row in sink.rows.values()}, why="all records")

    assert len({row["file_number"] for row in sink.rows.values()}) > 1, "the log was never turned over"
    assert sink.rows_that_came_late() == []
    closed = [header.closed_until_ms for header, _ in sink.batches]
    assert closed == sorted(closed)
    assert sink.dead == []


async def _call(gateway: Gateway, answered: set[str], is_over: asyncio.Event) -> None:
    headers = {"authorization": f"Bearer {gateway.tokens.mint()}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{gateway.ports.gateway}", headers=headers, timeout=180, verify=NO_AUTHORITIES
    ) as client:
        while not is_over.is_set():
            answered.add((await client.post(INFER, json={})).headers["x-prediction-id"])


async def test_the_log_is_turned_over_without_losing_a_record(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await gateway.envoy.stop()
    small = envoy_program(
        gateway.data_dir,
        gateway.ports,
        ROLLBOOK_ENVOY_ROTATE_AT_BYTES="20000",
        ROLLBOOK_ENVOY_ROTATION_CHECK_S="0.2",
    )
    async with running(small):
        await until(lambda: is_ready(gateway.ports))
        await serve(gateway)
        first = log_numbers(gateway.folder)[-1]
        sent: set[str] = set()

        async def turned_over() -> bool:
            sent.add((await client.post(INFER, json={})).headers["x-prediction-id"])
            return log_numbers(gateway.folder)[-1] >= first + 2

        await until(turned_over)
        sink = KeepingSink()
        async with shipping(gateway, sink):
            await until(lambda: sent <= {row["prediction_id"] for row in sink.rows.values()}, why="all records")
            await until(lambda: log_numbers(gateway.folder)[0] >= first + 1, why="shipped files deleted")

    assert len(_primary(sink)) == len(sent)


async def test_a_killed_envoy_leaves_readable_records_and_its_successor_a_file_of_its_own(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
    sent = {(await client.post(INFER, json={})).headers["x-prediction-id"] for _ in range(20)}
    # Envoy writes what it has buffered a moment later.
    await until(lambda: sent <= _logged(gateway), why="their records on disk")
    await gateway.envoy.stop(signal.SIGKILL)
    sink = KeepingSink()
    async with running(envoy_program(gateway.data_dir, gateway.ports)):
        await until(lambda: is_ready(gateway.ports))
        sent |= {(await client.post(INFER, json={})).headers["x-prediction-id"] for _ in range(20)}
        async with shipping(gateway, sink):
            await until(lambda: sent <= {row["prediction_id"] for row in sink.rows.values()}, why="all records")

    assert len({row["gateway_id"] for row in _primary(sink)}) == 2
    assert sink.rows_that_came_late() == []
