"""Odd forms, numbers and bodies, and who uploads slowly: each gets an answer that names what is wrong."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from tests.support.batch_stand import BatchStand, completion, lines
from tests.support.gateway import until
from tests.support.plain_http import NO_AUTHORITIES

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO_GOOD = lines([completion(0), completion(1)])


async def sent(stand: BatchStand, method: str, path: str, **how: Any) -> httpx.Response:  # noqa: ANN401  httpx's
    headers = {"authorization": f"Bearer {await stand.token()}", **how.pop("headers", {})}
    async with httpx.AsyncClient(base_url=stand.url, timeout=180, verify=NO_AUTHORITIES) as client:
        return await client.request(method, path, headers=headers, **how)


def form(*parts: tuple[bytes, bytes]) -> dict[str, Any]:
    """Write a form as clients do that know of no alphabet but their own."""
    body = b"".join(
        b"--x\r\ncontent-disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
    )
    return {"content": body + b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}


async def test_a_name_in_any_alphabet_is_kept_as_far_as_it_can_be_read(stand: BatchStand) -> None:
    name = b'name="file"; filename="\xe9t\xe9.jsonl"'

    answer = await sent(stand, "POST", "/v1/files", **form((b'name="purpose"', b"batch"), (name, TWO_GOOD)))

    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"].endswith(".jsonl")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(b'name="%d"' % number, b"1") for number in range(100)], "invalid_form"),
        ([(b'name="\xff"', b"long" * 1_000)], "invalid_form"),
        ([(b'name="purpose"', b"\xff"), (b'name="file"; filename="a"', TWO_GOOD)], "invalid_purpose"),
        (
            [
                (b'name="expires_after[anchor]"', b"created_at"),
                (b'name="expires_after[seconds]"', b"9" * 1_000),
                (b'name="purpose"', b"batch"),
                (b'name="file"; filename="a"', TWO_GOOD),
            ],
            "invalid_expires_after",
        ),
    ],
)
async def test_an_odd_form_is_refused_with_what_is_wrong(
    stand: BatchStand, parts: list[tuple[bytes, bytes]], code: str
) -> None:
    answer = await sent(stand, "POST", "/v1/files", **form(*parts))

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_odd_numbers_and_bodies_are_refused_with_what_is_wrong(stand: BatchStand) -> None:
    limit = await sent(stand, "GET", "/v1/batches", params={"limit": "9" * 5_000})
    nested = await sent(stand, "POST", "/v1/batches", content=b'{"metadata": ' + b"[" * 100_000)

    assert (limit.status_code, limit.json()["error"]["param"]) == (400, "limit")
    assert (nested.status_code, nested.json()["error"]["code"]) == (400, "invalid_request")


async def test_who_uploads_slowly_keeps_nobody_else_out(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            yield b"{"
            await asyncio.sleep(0.2)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    uploads = [asyncio.create_task(sent(stand, "POST", "/v1/files", content=slow(), headers=headers)) for _ in range(4)]
    whole = form((b'name="purpose"', b"batch"), (b'name="file"; filename="a"', TWO_GOOD))

    async def is_refused() -> bool:
        answer = await sent(stand, "POST", "/v1/files", **form((b'name="purpose"', b"batch")))
        return (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_uploads")

    try:
        await until(is_refused, why="a refusal of the fifth upload of one caller")
        mine = await client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
    finally:
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
    # Who has left takes no place.
    await until(lambda: _is_taken(stand, whole), why="an upload of that caller")

    assert mine.id


async def _is_taken(stand: BatchStand, whole: dict[str, Any]) -> bool:
    return (await sent(stand, "POST", "/v1/files", **whole)).status_code == 200
