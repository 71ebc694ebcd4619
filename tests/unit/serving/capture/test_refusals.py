"""What callers read of a refusal by an engine that is not ours."""

import json
from typing import Any

import pytest

from serving.capture.in_engine.rollbook_capture.refusals import rewording


async def passed(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - any message
        sent.append(dict(message))

    sending = rewording(send)
    for message in messages:
        await sending(message)
    return sent


def start(status: int, content_type: bytes = b"application/json; charset=utf-8") -> dict[str, Any]:
    headers = [(b"content-type", content_type), (b"Content-Length", b"999")]
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: object, *, more: bool = False) -> dict[str, Any]:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {"type": "http.response.body", "body": written, "more_body": more}


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, {"message": "a missing field", "code": 400}, "invalid_request_error", "invalid_request"),
        (
            400,
            {"message": "This model's maximum context length is 512 tokens.", "code": 400},
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (
            400,
            {"message": "max_tokens=9 cannot be greater than max_model_len=8", "code": 400},
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (404, {"message": "no such model", "code": 404}, "invalid_request_error", "model_not_found"),
        (500, {"message": "EngineCore died", "code": 500}, "server_error", "engine_error"),
        (400, {"message": {"odd": 1}, "code": 400}, "invalid_request_error", "invalid_request"),
    ],
)
async def test_a_number_becomes_the_name_that_openais_clients_know(
    status: int, error: dict[str, Any], kind: str, code: str
) -> None:
    begun, ended = await passed(start(status), body({"error": {**error, "type": "BadRequestError", "param": "x"}}))

    told = json.loads(ended["body"])["error"]
    assert (told["type"], told["code"], told["param"]) == (kind, code, "x")
    assert told["message"] == error["message"]
    assert begun["headers"][-1] == (b"content-length", str(len(ended["body"])).encode())
    assert len(begun["headers"]) == 2


async def test_a_refusal_that_comes_in_parts_is_put_together() -> None:
    written = json.dumps({"error": {"message": "no", "code": 400}}).encode()

    sent = await passed(start(400), body(written[:9], more=True), body(written[9:], more=True), body(b""))

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert json.loads(sent[1]["body"])["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    "messages",
    [
        (start(200), body({"error": {"code": 400}})),
        (start(400, b"text/plain"), body(b"no")),
    ],
)
async def test_what_is_no_refusal_in_json_passes_as_it_is(messages: tuple[dict[str, Any], ...]) -> None:
    assert await passed(*messages) == list(messages)


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b'{"error": {"message": "theirs", "type": "x", "code": "their_code"}}',
        b'{"error": {"message": "theirs", "type": "x", "code": null}}',
        b'{"detail": "another form"}',
        b'{"error": "a text"}',
    ],
)
async def test_another_form_keeps_its_words(content: bytes) -> None:
    _, ended = await passed(start(400), body(content))

    assert ended["body"] == content


async def test_a_refusal_of_any_size_passes() -> None:
    large = b"x" * 70_000

    begun, first, last = await passed(start(502), body(large, more=True), body(b"end"))

    assert begun == start(502)
    assert (first["body"], last["body"]) == (large, b"end")
