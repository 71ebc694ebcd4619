"""Answers of a parent's engine, in the name of the adapter's deployment."""

import json
from collections.abc import AsyncIterator

import pytest

from serving.external.rewording import Rewording

FIELDS = {"model": "story", "system_fingerprint": "deployment-2"}
CHUNK = {"id": "cmpl-1", "model": "instance-2", "choices": [{"text": "a\n\nb"}], "system_fingerprint": "deployment-1"}


async def told(*chunks: bytes, content_type: str) -> bytes:
    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return b"".join([part async for part in Rewording(FIELDS).of(given(), content_type=content_type)])


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_every_event_of_a_stream_names_our_deployment_however_it_is_cut(size: int) -> None:
    stream = b"data: " + json.dumps(CHUNK).encode() + b"\n\n: ping\n\ndata: [DONE]\n\n"
    cut = [stream[start : start + size] for start in range(0, len(stream), size)]

    answer = await told(*cut, content_type="text/event-stream")

    first, ping, end, rest = answer.split(b"\n\n")
    assert json.loads(first.removeprefix(b"data: ")) == CHUNK | FIELDS
    assert (ping, end, rest) == (b": ping", b"data: [DONE]", b"")


async def test_a_whole_answer_names_our_deployment_and_keeps_the_rest() -> None:
    whole = json.dumps(CHUNK).encode()

    answer = await told(whole[:20], whole[20:], content_type="application/json")

    assert json.loads(answer) == CHUNK | FIELDS


async def test_an_answer_without_these_fields_gets_none() -> None:
    refusal = b'{"error": {"message": "no", "code": 400}}'

    assert json.loads(await told(refusal, content_type="application/json")) == json.loads(refusal)
    assert await told(b"not JSON", content_type="text/plain") == b"not JSON"
    assert await told(content_type="application/json") == b""
