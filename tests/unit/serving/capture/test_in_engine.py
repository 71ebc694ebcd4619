"""What our middleware records inside an engine that is not ours, of whole answers, streams and broken connections."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.events.endpoints import CapturePolicy
from serving.capture import records
from serving.capture.in_engine.rollbook_capture.middleware import CaptureMiddleware
from serving.capture.in_engine.rollbook_capture.policy import PolicyFile
from serving.capture.in_engine.rollbook_capture.recorder import Recorder
from serving.capture.in_engine.rollbook_capture.spool import Spool
from serving.capture.in_engine.rollbook_capture.wire import Message, Receive, Scope, Send
from serving.capture.policy import is_sampled
from serving.capture.policy_file import PolicyInForce, write_policy
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool_reader import SpoolReader
from tests.support.captured_engine import ASKED, CHAT, END, STREAM, USAGE, WHOLE, Engine, event


def environ(spool: Path, policy: CapturePolicy | None = None, **more: str) -> dict[str, str]:
    file = spool.parent / "policy.json"
    write_policy(file, PolicyInForce(version=3, policy=policy or CapturePolicy()))
    own = {
        "SPOOL_DIR": str(spool),
        "BOOT_ID": "boot-1",
        "INSTANCE_ID": "instance-1",
        "DEPLOYMENT_ID": "deployment-1",
        "POLICY_FILE": str(file),
        **more,
    }
    return {f"ROLLBOOK_CAPTURE_{name}": value for name, value in own.items()}


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Any]:
    """Call an engine through the middleware; return what the caller got and the record."""

    async def called(
        engine: Engine,
        asked: dict[str, Any] | bytes = ASKED,
        *,
        path: str = CHAT,
        policy: CapturePolicy | None = None,
        gone_after: int | None = None,
        named: str = "",
        **more: str,
    ) -> tuple[bytes, ObservationRecord | None]:
        spool = tmp_path / "spool"
        middleware = CaptureMiddleware(engine, environ(spool, policy, **more))
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        headers = [(b"x-prediction-id", b"p-1"), (b"content-length", str(len(body)).encode())]
        headers += [(b"x-rollbook-model", named.encode())] if named else []
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        sent: list[Message] = []
        incoming = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            while not incoming:
                if gone_after is not None and len(sent) > gone_after:
                    return {"type": "http.disconnect"}
                await asyncio.sleep(0)
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await middleware(scope, receive, send)
        middleware.close()
        answer = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        found = spooled(spool)
        return answer, found[0] if found else None

    return called


def spooled(spool: Path) -> list[ObservationRecord]:
    """Read a spool as the agent does; the last frame is a mark that closes it."""
    payloads = SpoolReader(spool).read(0, max_frames=1_000, max_bytes=10**9).payloads
    items = [records.decode(payload) for payload in payloads]
    assert isinstance(items[-1], Mark)
    found = [item for item in items if isinstance(item, ObservationRecord)]
    assert all(item.captured_at_ms <= items[-1].closed_until_ms for item in found)
    return found


async def test_a_whole_answer_is_recorded_with_its_tokens(call: Callable[..., Any]) -> None:
    engine = Engine(WHOLE)

    answer, record = await call(engine)

    assert json.loads(answer) == WHOLE
    assert engine.asked == ASKED
    assert (record.prediction_id, record.status, record.prediction) == ("p-1", 200, "Once upon")
    assert (record.tokens_in, record.tokens_out, record.finish_reason) == (4, 3, "stop")
    assert (record.first_token_ms, record.token_ms, record.prediction_datatype) == (-1, -1, "BYTES")
    assert json.loads(json.loads(record.inputs)["messages"]["data"][0]) == ASKED["messages"]
    assert json.loads(record.outputs)["completion"]["data"] == ["Once upon"]


async def test_a_stream_is_asked_for_its_usage_and_the_caller_sees_none(call: Callable[..., Any]) -> None:
    engine = Engine(*STREAM, END)

    answer, record = await call(engine, {**ASKED, "stream": True})

    assert engine.asked["stream_options"] == {"include_usage": True}
    assert int(engine.headers[b"content-length"]) == len(json.dumps(engine.asked, separators=(",", ":")))
    assert answer == b"".join(STREAM[:-1]) + END
    assert (record.tokens_in, record.tokens_out, record.finish_reason) == (4, 3, "stop")
    assert record.prediction == "Once upon"
    assert 0 <= record.first_token_ms <= record.engine_ms
    assert record.token_ms >= 0


async def test_a_caller_who_asks_for_the_usage_gets_it(call: Callable[..., Any]) -> None:
    options = {"include_usage": True, "continuous_usage_stats": False}

    answer, record = await call(Engine(*STREAM, END), {**ASKED, "stream": True, "stream_options": options})

    assert answer == b"".join(STREAM) + END
    assert record.tokens_out == 3


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_events_may_be_cut_anywhere_and_their_lines_end_in_any_way(
    call: Callable[..., Any], size: int, ends: bytes
) -> None:
    whole = (b"".join(STREAM) + END).replace(b"\n", ends)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]

    answer, record = await call(Engine(*pieces), {**ASKED, "stream": True})

    assert answer == (b"".join(STREAM[:-1]) + END).replace(b"\n", ends)
    assert (record.tokens_out, record.prediction) == (3, "Once upon")


async def test_a_caller_who_goes_away_is_recorded_as_such(call: Callable[..., Any]) -> None:
    _, record = await call(Engine(*STREAM, until_gone_after=3), {**ASKED, "stream": True}, gone_after=2)

    assert (record.status, record.finish_reason) == (499, "disconnected")
    assert record.prediction == "Once upon"
    assert (record.tokens_in, record.tokens_out) == (-1, 2)


@pytest.mark.parametrize("asked", ["true", 1])
async def test_what_the_engine_takes_for_a_stream_is_recorded_as_one(call: Callable[..., Any], asked: object) -> None:
    _, record = await call(Engine(*STREAM, END), {**ASKED, "stream": asked})

    assert (record.prediction, record.tokens_out) == ("Once upon", 3)
    assert record.first_token_ms >= 0


async def test_a_refusal_of_a_stream_is_one_document(call: Callable[..., Any]) -> None:
    refusal = {"error": {"message": "no such model", "code": 404}}

    answer, record = await call(Engine(refusal, status=404), {**ASKED, "stream": True})

    assert json.loads(answer)["error"]["code"] == "model_not_found"
    assert (record.status, record.prediction, record.tokens_out) == (404, "", -1)


async def test_calls_of_tools_are_put_together_from_their_parts(call: Callable[..., Any]) -> None:
    def part(**function: str) -> bytes:
        return event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]})

    _, record = await call(
        Engine(part(name="find"), part(arguments='{"a"'), part(arguments=": 1}"), END), {**ASKED, "stream": True}
    )

    kept = json.loads(record.outputs)["tool_calls"]["data"][0]
    assert json.loads(kept) == [{"name": "find", "arguments": '{"a": 1}'}]


CUT_OFF = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


@pytest.mark.parametrize(("end", "reason"), [({"status": "completed"}, "completed"), (CUT_OFF, "length")])
async def test_responses_are_read_whole(call: Callable[..., Any], end: dict[str, Any], reason: str) -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Once"}]}]
    whole = {"object": "response", "output": output, "usage": {"input_tokens": 2, "output_tokens": 1}, **end}

    _, record = await call(Engine(whole), {"model": "story", "input": "Tell"}, path="/v1/responses")

    assert (record.tokens_in, record.tokens_out, record.prediction) == (2, 1, "Once")
    assert record.finish_reason == reason


async def test_the_policy_decides_what_leaves_the_process(call: Callable[..., Any]) -> None:
    policy = CapturePolicy(inputs=("messages",), outputs=(), hashed=("messages",))

    _, record = await call(Engine(WHOLE), policy=policy)

    kept = json.loads(record.inputs)["messages"]
    assert len(kept["blake2b"]) == 32
    assert "data" not in kept
    assert (record.outputs, record.prediction) == ("{}", "")
    assert record.tokens_out == 3


async def test_long_texts_are_cut(call: Callable[..., Any]) -> None:
    _, record = await call(Engine(WHOLE), {**ASKED, "messages": "é" * 100}, policy=CapturePolicy(max_bytes=5))

    kept = json.loads(record.inputs)["messages"]
    assert (kept["data"], kept["truncated"]) == (["éé"], True)


async def test_what_is_not_sampled_passes_untouched(call: Callable[..., Any]) -> None:
    policy = CapturePolicy(sampling_rate=0.0)
    assert not is_sampled(policy, "p-1")

    answer, record = await call(Engine(*STREAM, END), {**ASKED, "stream": True}, policy=policy)

    assert answer == b"".join(STREAM) + END
    assert record is None


@pytest.mark.parametrize(
    "asked", [b"", b"{", b"[1]", b'{"stream": true, "stream_options": 3}', b'{"messages": "\\ud800"}']
)
async def test_a_body_that_makes_no_sense_is_the_engines_to_refuse(call: Callable[..., Any], asked: bytes) -> None:
    class Refusing(Engine):
        async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["body"] == asked
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

    _, record = await call(Refusing(), asked)

    assert record.status == 400


class OddSpool(Spool):
    """Meets a bug at its first append."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, max_bytes=80_000)
        self.has_failed = threading.Event()

    def append(self, payloads: Sequence[bytes]) -> None:
        if not self.has_failed.is_set():
            self.has_failed.set()
            raise ZeroDivisionError
        super().append(payloads)


def test_a_bug_in_one_round_does_not_end_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ(tmp_path / "spool")
    spool = OddSpool(tmp_path / "spool")
    recorder = Recorder(spool, PolicyFile(tmp_path / "policy.json"))

    assert spool.has_failed.wait(60)
    recorder.close()

    payloads = SpoolReader(tmp_path / "spool").read(0, max_frames=100, max_bytes=10**6).payloads
    assert {type(records.decode(payload)) for payload in payloads} == {Mark}
    assert "calls could not be captured (ZeroDivisionError())" in capsys.readouterr().err


def test_a_full_spool_loses_the_oldest_detail_first_and_no_count(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=80_000)
    row: Sequence[Any] = ["r", "p", 1, 200, 1.0, "said", "x" * 3_000, "y" * 3_000, 0, 7, 1, 2, -1.0, -1.0, "stop"]

    for number in range(60):
        spool.append([json.dumps([*row[:1], f"p-{number}", *row[2:]]).encode()])
    spool.close()

    reader, position, found = SpoolReader(tmp_path), 0, []
    while frames := reader.read(position, max_frames=100, max_bytes=10**6).payloads:
        found += [records.decode(payload) for payload in frames]
        position += len(frames)
    rows = [item for item in found if isinstance(item, ObservationRecord)]
    assert [item.prediction_id for item in rows] == [f"p-{number}" for number in range(60)]
    assert rows[0].inputs == ""
    assert rows[0].prediction == "said"
    assert rows[-1].inputs
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000


@pytest.mark.parametrize("named", ["story:champion", "story@2", "story@small-llama/2"])
async def test_the_engine_gets_a_version_under_the_name_that_it_knows(call: Callable[..., Any], named: str) -> None:
    engine = Engine(WHOLE)

    _, record = await call(engine, {**ASKED, "model": named}, named=named)

    assert engine.asked == ASKED
    assert int(engine.headers[b"content-length"]) == len(json.dumps(ASKED, separators=(",", ":")))
    assert record.status == 200


async def test_an_alias_that_the_gateway_did_not_read_is_left_to_the_engine_to_refuse(
    call: Callable[..., Any],
) -> None:
    engine = Engine(WHOLE)

    await call(engine, {**ASKED, "model": "story:champion"})

    assert engine.asked["model"] == "story:champion"


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"])
async def test_what_came_through_the_gateway_does_not_change_the_engine(call: Callable[..., Any], path: str) -> None:
    engine = Engine(WHOLE)

    answer, _ = await call(engine, {"lora_name": "x", "lora_path": "/"}, path=path)

    assert engine.asked == {}
    assert json.loads(answer)["error"]["code"] == "not-for-callers"


COMPLETION = {"model": "story", "prompt": "Once"}
BESIDE_ADAPTERS = {"REFUSES_PROMPT_LOGPROBS": "1"}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/completions", {**COMPLETION, "prompt_logprobs": 0}),
        ("/v1/completions", {**COMPLETION, "echo": True, "logprobs": 0}),
        (CHAT, {**ASKED, "echo": True}),
        (CHAT, {**ASKED, "prompt_logprobs": 1}),
    ],
)
async def test_beside_adapters_nobody_asks_how_likely_the_prompt_was(
    call: Callable[..., Any], path: str, asked: dict[str, Any]
) -> None:
    engine = Engine(WHOLE)

    answer, record = await call(engine, asked, path=path, **BESIDE_ADAPTERS)

    assert engine.asked == {}
    error = json.loads(answer)["error"]
    assert (error["code"], error["param"]) == ("prompt-logprobs-beside-adapters", "prompt_logprobs")
    assert record is not None


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ({**COMPLETION, "echo": True, "logprobs": 0}, {}),
        ({**COMPLETION, "echo": True}, BESIDE_ADAPTERS),
        ({**COMPLETION, "logprobs": 2}, BESIDE_ADAPTERS),
    ],
)
async def test_what_the_engine_survives_is_passed_on(
    call: Callable[..., Any], asked: dict[str, Any], more: Mapping[str, str]
) -> None:
    engine = Engine(WHOLE)

    await call(engine, asked, path="/v1/completions", **more)

    assert engine.asked == asked


async def test_the_fingerprint_that_comes_with_the_hidden_usage_stands_in_the_last_piece(
    call: Callable[..., Any],
) -> None:
    usage = event({"choices": [], "usage": USAGE, "system_fingerprint": "deployment-1"})
    engine = Engine(*STREAM[:-1], usage, END)

    answer, record = await call(engine, {**ASKED, "stream": True})

    *pieces, last = answer.removesuffix(END).removesuffix(b"\n\n").split(b"\n\n")
    assert b"".join(piece + b"\n\n" for piece in pieces) == b"".join(STREAM[:3])
    finished = json.loads(STREAM[3].removeprefix(b"data: "))
    assert json.loads(last.removeprefix(b"data: ")) == {**finished, "system_fingerprint": "deployment-1"}
    assert answer.endswith(END)
    assert (record.tokens_out, record.finish_reason) == (3, "stop")


ODD: tuple[dict[str, Any], ...] = (
    {"choices": [None, "text", {"index": None, "message": {"content": "Once"}}], "usage": {"completion_tokens": None}},
    {
        "choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}, None]}}],
        "usage": [1],
    },
    {"choices": {"message": 1}, "usage": {"prompt_tokens": 10**30, "completion_tokens": True}},
    {"object": "response", "status": 3, "output": [{"content": "abc"}, None], "usage": "none", "incomplete_details": 1},
    {"choices": [{"delta": "Once", "index": "0", "finish_reason": ["stop"]}]},
)


@pytest.mark.parametrize("document", ODD)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_odd_answer_reaches_its_caller_and_is_recorded(
    call: Callable[..., Any], document: dict[str, Any], *, is_stream: bool
) -> None:
    pieces = [event(document), END] if is_stream else [json.dumps(document).encode()]

    answer, record = await call(Engine(*pieces), {**ASKED, "stream": is_stream})

    assert answer == b"".join(pieces)
    assert record is not None
    assert record.tokens_in == -1
