"""Bodies above the listener's limit: refused with the remedy, or streamed through where a header names the endpoint."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import grpc
import httpx
import numpy as np
import psutil
import pytest
from tritonclient.utils import InferenceServerException

from serving.gateway.limits import Limits
from tests.support.echo_requests import WAYS
from tests.support.gateway import BackEnd, Gateway, refused_body, serve_digits, serving_gateway, until

INFER = "/v2/models/digits/infer"
LIMIT = 8 * 1024**2
HUGE = 100_000_000
NAMED = {"x-rollbook-endpoint": "digits"}
# What Envoy takes beside the buffers that the limits speak of; far below the bodies that are sent.
SLACK = 24 * 1024**2

Result = TypeVar("Result")


class DyingBackEnd(BackEnd):
    """Goes away whenever a request has arrived."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].split("\r\n")[0])
            await reader.readexactly(size)
            self.requests += 1
        writer.transport.abort()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving_gateway(Gateway(tmp_path, limits=Limits(max_body_bytes=LIMIT))) as gateway:
        yield gateway


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 100_000):
        yield b"x" * 100_000


async def peak_of(process: psutil.Process, work: Awaitable[Result]) -> tuple[Result, int]:
    """Return what the work returns, and by how much the process grew at most meanwhile."""
    before = peak = process.memory_info().rss
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0.005)
        peak = max(peak, process.memory_info().rss)
    return await task, peak - before


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_above_the_limit_is_refused_with_the_limit_and_the_remedy(
    gateway: Gateway, *, is_chunked: bool
) -> None:
    await serve_digits(gateway)
    content = pieces(HUGE) if is_chunked else b"x" * HUGE

    answer, grown = await peak_of(gateway.envoy_process, refused_body(gateway, INFER, content))

    assert answer.status_code == 413
    assert f"larger than {LIMIT} bytes" in answer.json()["error"]
    assert "x-rollbook-endpoint" in answer.json()["error"]
    assert answer.headers["x-prediction-id"]
    assert gateway.back_ends[0].requests == 0
    assert grown < LIMIT + SLACK


async def test_a_body_within_the_limit_is_larger_than_a_connection_buffer(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve_digits(gateway)

    answer = await client.post(INFER, content=b"x" * (LIMIT - 1))

    assert (answer.status_code, answer.json()["bytes"]) == (200, LIMIT - 1)


async def test_a_body_of_any_size_streams_through_where_a_header_names_the_endpoint(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve_digits(gateway)

    calls = [client.post(INFER, content=b"x" * HUGE, headers=NAMED, timeout=180) for _ in range(3)]
    answers, grown = await peak_of(gateway.envoy_process, asyncio.gather(*calls))

    assert [(answer.status_code, answer.json()["bytes"]) for answer in answers] == [(200, HUGE)] * 3
    assert {answer.headers["x-rollbook-endpoint"] for answer in answers} == {"digits"}
    assert grown < SLACK


async def test_the_limit_is_told_in_grpcs_own_way(gateway: Gateway) -> None:
    await serve_digits(gateway)
    token = (("authorization", f"Bearer {gateway.tokens.mint()}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.ports.gateway}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\x0a\x06digits" + b"\x3a\xff\xff\xff\x07" + b"x" * 2 * LIMIT, metadata=token, timeout=180)

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"larger than {LIMIT} bytes" in str(refused.value.details())


async def test_a_large_body_is_sent_once_and_that_is_counted(gateway: Gateway, client: httpx.AsyncClient) -> None:
    dying = DyingBackEnd("dying")
    await serve_digits(gateway, dying)

    small = await client.post(INFER, content=b"x" * 1_000)
    tried = dying.requests
    large = await client.post(INFER, content=b"x" * 3_000_000, headers=NAMED)

    assert (small.status_code, large.status_code) == (503, 503)
    assert tried == 3
    assert dying.requests == tried + 1

    async def is_counted() -> bool:
        return await gateway.stats("^cluster.d1.retry_or_shadow_abandoned$") == {
            "cluster.d1.retry_or_shadow_abandoned": 1
        }

    await until(is_counted)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("way", WAYS)
async def test_tritonclient_sees_that_a_body_is_above_the_limit(gateway: Gateway, way: str) -> None:
    await serve_digits(gateway)
    # A number takes four bytes, or some twenty in JSON.
    rows = LIMIT // (640 if WAYS[way].is_json else 128)
    large = WAYS[way].tensor("pixels", np.full((rows, 64), 1 / 7, dtype=np.float32))
    address = f"127.0.0.1:{gateway.ports.gateway}"
    headers = {"authorization": f"Bearer {gateway.tokens.mint()}"}

    with pytest.raises(InferenceServerException, match="x-rollbook-endpoint") as refusal:
        await WAYS[way].infer(address, "digits", [large], headers=headers)

    assert refusal.value.status() == WAYS[way].too_large
    assert f"larger than {LIMIT} bytes" in refusal.value.message()
