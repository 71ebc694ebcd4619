"""Every decoder of what comes from outside a program, with valid messages; run as a program, it damages many of them.

A decoder answers or refuses with the error that it declares. Any other exception is a crash, and a message of which
neither a result nor a refusal is left is a silent drop.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

import msgspec
import structlog
from structlog.testing import capture_logs

from infra.newer_release import document_understood
from projections.errors import UndecodableError
from projections.feeds.batches import OBSERVATION_BATCHES, REQUEST_BATCHES, TELEMETRY_BATCHES, Batch
from projections.feeds.events import recorded_event
from projections.feeds.feed import Feed
from projections.feeds.feedback import read_feedback
from projections.messages import Message
from schemas.catalogue import read_data
from schemas.documents import records as documents
from schemas.documents.kinds import DOCUMENTS
from schemas.events.registry import Tensor
from schemas.observations import BatchHeaders, Feedback, SourceKind
from serving.capture import frames
from serving.capture import records as captured
from serving.engines.base import DTYPES
from serving.gateway import request_batches
from serving.gateway.log_files import LogFileHeader
from serving.gateway.request_log import read_lines
from serving.runtime.binary_tensors import read_binary
from serving.runtime.errors import InvalidRequestError
from serving.runtime.tensors import InputTensor
from tests.support.mutations import mutated
from workers.batch_server import input_lines
from workers.serving_agent import observation_batches, telemetry_records
from workers.serving_agent.spool_sources import SpoolSource

Outcome: TypeAlias = Literal["decoded", "refused"]
GOLDEN = Path(__file__).parents[1] / "golden" / "events"
SOURCE = SpoolSource(
    boot_id="boot-1", workspace="default", endpoint_id="e", deployment_id="d", version_id="v", instance_id="i"
)
_AT_MS = 1_767_323_045_678
_HEADERS = BatchHeaders(
    source="gateway-1", kind="requests", region="local", batch=3, rows=1, closed_until_ms=_AT_MS, state="open"
)
_RULES = input_lines.Rules(endpoint="/v1/embeddings", max_requests=100, max_line_bytes=10_000)
_LOG_LINE = (
    b'{"role":"primary","end":"1767323045678","start":"1767323045670","id":"p-1","ws":"default","ep":"e","epn":"digits",'
    b'"epoch":"7","drawn":"d","dep":"d","vid":"v","ver":"digits/1","inst":"i","st":200,"fl":"-","att":1,"dur":5,'
    b'"us":5000,"up":3000,"rx":100,"tx":50,"tp":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","m":"POST",'
    b'"p":"/v2/models/digits/infer"}\n'
)
_MARKER = b'{"role":"marker","end":"1767323045678","worker":"/1"}\n'


class Decoder(msgspec.Struct, frozen=True, kw_only=True):
    """Valid messages, and what reads one; it raises what the decoder does not declare."""

    samples: Sequence[bytes]
    read: Callable[[bytes], Outcome]


def _message(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> Message:
    return Message(topic="t", partition=0, offset=0, timestamp_ms=_AT_MS, key=b"k", value=value, headers=headers)


def _event(value: bytes) -> Outcome:
    return _recorded(_message(value, (("position", b"7"),)))


def _position(value: bytes) -> Outcome:
    canonical = next(iter(GOLDEN.glob("*.json"))).read_bytes().strip()
    return _recorded(_message(canonical, (("position", value),)))


def _recorded(message: Message) -> Outcome:
    try:
        event = recorded_event(message)
    except UndecodableError:
        return "refused"
    read_data(event.envelope.type, event.envelope.data)
    return "decoded"


def _feedback(value: bytes) -> Outcome:
    try:
        read_feedback(_message(value))
    except UndecodableError:
        return "refused"
    return "decoded"


def _batch(feed: Feed[Batch], kind: SourceKind) -> Callable[[bytes], Outcome]:
    headers = tuple(msgspec.structs.replace(_HEADERS, kind=kind).as_kafka())

    def read(value: bytes) -> Outcome:
        return _in_feed(feed, _message(value, headers))

    return read


def _batch_headers(value: bytes) -> Outcome:
    names = [name for name, _ in _HEADERS.as_kafka()]
    return _in_feed(REQUEST_BATCHES, _message(_requests(), tuple(zip(names, value.split(b"\n"), strict=False))))


def _in_feed(feed: Feed[Batch], message: Message) -> Outcome:
    try:
        feed.decode(message)
    except UndecodableError:
        return "refused"
    return "decoded"


class _Record(msgspec.Struct):
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = (("position", b"7"),)


def _document(value: bytes) -> Outcome:
    return _followed(_Record(b"k", value))


def _removal(value: bytes) -> Outcome:
    return _followed(_Record(value[:4], None, (("position", value),)))


def _followed(record: _Record) -> Outcome:
    try:
        read = documents.decode(record)
    except documents.NotARecordError:
        return "refused"
    if isinstance(read, documents.Removed):
        return "decoded"
    kind = DOCUMENTS.get(read.kind)
    return "decoded" if kind is not None and document_understood(read, kind) is not None else "refused"


def _log_lines(value: bytes) -> Outcome:
    header = LogFileHeader(gateway_id="gateway-1", file_number=0, workers=2)
    lines = read_lines(value, header=header, offset=0, region="local", is_final=True)
    request_batches.encode_rows(lines.rows)
    written = len(value.removesuffix(b"\n").split(b"\n")) if value else 0
    accounted = len(lines.rows) + len(lines.dead)
    assert lines.consumed == len(value)
    assert accounted == written or (lines.markers and accounted < written), (accounted, written)
    return "refused" if lines.dead else "decoded"


def _frames(value: bytes) -> Outcome:
    ends = [end for _, end in frames.unpack(value)]
    assert all(before < after for before, after in pairwise(ends))
    return "decoded" if ends and ends[-1] == len(value) else "refused"


def _observation(value: bytes) -> Outcome:
    with capture_logs() as logs:
        read = observation_batches.decode_frames([value])
    observation_batches.encode_rows(SOURCE, read.rows, batch=1)
    _slim(value)
    return _spooled(is_read=bool(read.rows) or _is_mark(value), is_logged=bool(logs))


def _telemetry(value: bytes) -> Outcome:
    with capture_logs() as logs:
        read = telemetry_records.decode_frames([value])
    telemetry_records.encode_rows(SOURCE, read.rows, batch=1)
    return "refused" if logs else "decoded"


def _slim(value: bytes) -> None:
    try:
        captured.without_detail(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return


def _is_mark(value: bytes) -> bool:
    try:
        return isinstance(captured.decode(value), captured.Mark)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


def _spooled(*, is_read: bool, is_logged: bool) -> Outcome:
    assert is_read != is_logged, "a record is either read or told"
    return "decoded" if is_read else "refused"


def _tensor(value: bytes) -> Outcome:
    # The first two bytes choose the data type and the shape that the caller claims.
    datatypes = list(DTYPES)
    datatype, count = datatypes[(value[0] if value else 0) % len(datatypes)], value[1] if len(value) > 1 else 0
    try:
        read_binary(
            InputTensor(name="x", datatype=datatype, shape=(count,)),
            Tensor(name="x", datatype=datatype, shape=(-1,)),  # type: ignore[arg-type]  # one of them
            memoryview(value)[2:],
        )
    except InvalidRequestError:
        return "refused"
    return "decoded"


def _input_lines(folder: Path) -> Callable[[bytes], Outcome]:
    path = folder / "in.jsonl"

    def read(value: bytes) -> Outcome:
        path.write_bytes(value)
        found = input_lines.checked(path, _RULES)
        if found.problems:
            return "refused"
        taken = list(input_lines.unfinished(path, is_done=lambda _: False, max_line_bytes=_RULES.max_line_bytes))
        assert len(taken) == found.requests
        return "decoded"

    return read


def _requests() -> bytes:
    header = LogFileHeader(gateway_id="gateway-1", file_number=0, workers=2)
    return request_batches.encode_rows(read_lines(_LOG_LINE, header=header, offset=0, region="local").rows)


def _observed() -> captured.ObservationRecord:
    return captured.ObservationRecord("p-1", _AT_MS, 200, 1.5, "7", '{"x":{"data":[1]}}', "{}")


def _sample() -> telemetry_records.Sample:
    subject = telemetry_records.Subject("instance", "i", "boot-1", "local", "default", "e", "d")
    return telemetry_records.Sample(subject, _AT_MS, {"cpu_percent": 1.5, "requests_total": 3.0})


def _documents() -> list[bytes]:
    document = {"id": "keyring-1", "workspace": "default", "created_at": "", "stream_version": 1, "keys": []}
    base = {"id": "k", "workspace": "default", "position": 3, "event_id": "event-1", "stream_version": 1}
    return [msgspec.json.encode({**base, "kind": kind, "document": document}) for kind in DOCUMENTS]


def decoders(folder: Path) -> dict[str, Decoder]:
    """Return all of them by name; one that reads files writes them into the folder."""
    feedback = Feedback(
        prediction_id="p-1",
        name="label",
        value="3",
        workspace="default",
        source="s",
        observed_at_ms=1,
        received_at_ms=2,
    )
    record, sample = captured.encode(_observed()), _sample()
    rows = telemetry_records.decode_frames([telemetry_records.encode(sample)]).rows
    line = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x","stream":false}}\n'
    return {
        "events": Decoder(samples=[path.read_bytes().strip() for path in sorted(GOLDEN.glob("*.json"))], read=_event),
        "positions of events": Decoder(samples=[b"7", b"123456789"], read=_position),
        "feedback": Decoder(samples=[msgspec.json.encode(feedback)], read=_feedback),
        "batches of requests": Decoder(samples=[_requests()], read=_batch(REQUEST_BATCHES, "requests")),
        "batches of observations": Decoder(
            samples=[observation_batches.encode_rows(SOURCE, [_observed()], batch=1)],
            read=_batch(OBSERVATION_BATCHES, "observations"),
        ),
        "batches of telemetry": Decoder(
            samples=[telemetry_records.encode_rows(SOURCE, rows[:1], batch=1)],
            read=_batch(TELEMETRY_BATCHES, "telemetry"),
        ),
        "headers of batches": Decoder(
            samples=[b"\n".join(value for _, value in _HEADERS.as_kafka())], read=_batch_headers
        ),
        "documents": Decoder(samples=_documents(), read=_document),
        "removed documents": Decoder(samples=[b"7", b"12345"], read=_removal),
        "lines of the request log": Decoder(samples=[_LOG_LINE, _MARKER, _LOG_LINE + _MARKER], read=_log_lines),
        "frames": Decoder(samples=[frames.pack(record) + frames.pack(record)], read=_frames),
        "spooled observations": Decoder(
            samples=[record, captured.encode(captured.Mark(_AT_MS, 3)), msgspec.json.encode(_observed())],
            read=_observation,
        ),
        "spooled telemetry": Decoder(
            samples=[telemetry_records.encode(sample), telemetry_records.encode(captured.Mark(_AT_MS))], read=_telemetry
        ),
        "binary tensors": Decoder(
            samples=[bytes([number, 2]) + b"\x03\0\0\0abc\x02\0\0\0de" for number in range(len(DTYPES))], read=_tensor
        ),
        "lines of a batch": Decoder(samples=[line, line + line.replace(b'"a"', b'"b"')], read=_input_lines(folder)),
    }


def outcomes(decoder: Decoder, *, seed: int) -> Iterator[tuple[bytes, Outcome | Exception]]:
    """Damage messages for as long as somebody asks, and say what became of each."""
    chance = random.Random(seed)
    while True:
        value = mutated(chance.choice(decoder.samples), chance)
        try:
            yield value, decoder.read(value)
        except Exception as error:  # noqa: BLE001  what it looks for
            yield value, error


def main() -> int:
    """Damage so many messages for each decoder; end with 1 where one crashed."""
    arguments = argparse.ArgumentParser(description="Feed damaged messages to every decoder.")
    arguments.add_argument("--messages", type=int, default=1_000_000, help="for each decoder")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", default="", help="the name of one decoder")
    asked = arguments.parse_args()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    crashes = 0
    with TemporaryDirectory() as folder:
        for name, decoder in decoders(Path(folder)).items():
            if asked.only and name != asked.only:
                continue
            began, found, shown = time.monotonic(), Counter[str](), set[str]()
            for _, (value, outcome) in zip(range(asked.messages), outcomes(decoder, seed=asked.seed), strict=False):
                found[outcome if isinstance(outcome, str) else "crashed"] += 1
                if isinstance(outcome, Exception) and type(outcome).__name__ not in shown:
                    shown.add(type(outcome).__name__)
                    sys.stdout.write(f"  {name}: {outcome!r:.300} on {value[:300]!r}\n")
            crashes += found["crashed"]
            seconds = time.monotonic() - began
            sys.stdout.write(f"{name}: {dict(found)} in {seconds:.0f} s\n")
            sys.stdout.flush()
    return int(crashes > 0)


if __name__ == "__main__":
    sys.exit(main())
