"""The recorder with its thread, on a real directory."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from infra.background import Background
from schemas.events.endpoints import CapturePolicy
from schemas.events.registry import Tensor
from serving.capture import records
from serving.capture.policy_file import PolicyInForce
from serving.capture.predicted import Predicted
from serving.capture.recorder import Exchange, Recorder, Written
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolLimits, SpoolWriter
from serving.capture.spool_reader import SpoolReader
from serving.engines.base import Array
from serving.runtime.inference_messages import as_json

IDS = [f"1700000000000-{number}" for number in range(200)]


def exchange(prediction_id: str) -> Exchange:
    return Exchange(
        prediction_id=prediction_id,
        captured_at_ms=1,
        status=200,
        engine_ms=0.5,
        prediction=Predicted("7", "INT64"),
        request=b'{"inputs":[{"name":"person","data":["Ada"]}]}',
        answer=b'{"outputs":[{"name":"label","data":[7]}]}',
    )


class Spooled(msgspec.Struct, frozen=True):
    """A recorder that is not started: what it got waits until `end` writes all of it."""

    recorder: Recorder
    background: Background
    directory: Path

    def end(self) -> tuple[list[ObservationRecord], Mark]:
        self.recorder.start()
        self.recorder.stop()
        payloads = SpoolReader(self.directory).read(0, max_frames=10_000, max_bytes=10**8).payloads
        items = [records.decode(payload) for payload in payloads]
        marks = [item for item in items if isinstance(item, Mark)]
        return [item for item in items if isinstance(item, ObservationRecord)], marks[-1]


@pytest.fixture
def spooled(tmp_path: Path) -> Spooled:
    writer = SpoolWriter(tmp_path, limits=SpoolLimits(), without_detail=records.without_detail)
    background = Background()
    recorder = Recorder(writer, in_force=PolicyInForce(), background=background)
    return Spooled(recorder, background, tmp_path)


def offer(recorder: Recorder, ids: list[str]) -> None:
    for prediction_id in ids:
        if recorder.wants(prediction_id):
            recorder.record(exchange(prediction_id))


def test_each_record_says_under_which_policy_it_was_taken(spooled: Spooled) -> None:
    policy = CapturePolicy(hashed=("person",), prediction=False, retention_days=2)
    spooled.recorder.follow(PolicyInForce(version=4, policy=policy))
    offer(spooled.recorder, IDS[:1])

    (record,), _ = spooled.end()

    assert (record.policy_version, record.retention_days, record.prediction) == (4, 2, "")
    assert "Ada" not in record.inputs


def test_what_is_pending_leaves_under_the_policy_that_came_after_it(spooled: Spooled) -> None:
    offer(spooled.recorder, IDS)
    spooled.recorder.follow(PolicyInForce(version=5, policy=CapturePolicy(inputs=(), sampling_rate=0.25)))

    kept, last = spooled.end()

    assert 0 < len(kept) < len(IDS) / 2
    assert {(record.inputs, record.policy_version) for record in kept} == {("{}", 5)}
    assert (last.seen, last.unsampled) == (len(IDS), len(IDS) - len(kept))


def test_what_the_sample_leaves_out_is_counted(spooled: Spooled) -> None:
    spooled.recorder.follow(PolicyInForce(version=5, policy=CapturePolicy(sampling_rate=0.25)))
    offer(spooled.recorder, IDS)

    kept, last = spooled.end()

    assert (last.seen, last.unsampled) == (len(IDS), len(IDS) - len(kept))
    assert 0 < len(kept) < len(IDS) / 2


def test_a_spool_that_overflows_loses_its_oldest_detail_and_no_count(tmp_path: Path) -> None:
    limits = SpoolLimits(max_bytes=100_000, segment_bytes=10_000)
    writer = SpoolWriter(tmp_path, limits=limits, without_detail=records.without_detail)
    in_force = PolicyInForce(policy=CapturePolicy(sampling_rate=0.5))
    recorder = Recorder(writer, in_force=in_force, background=Background())
    ids = [f"1700000000000-{number}" for number in range(6_000)]
    recorder.start()
    for start in range(0, len(ids), 100):
        offer(recorder, ids[start : start + 100])
        recorder.mark()
    recorder.stop()

    items, reader, position, lost = [], SpoolReader(tmp_path), 0, 0
    while (frames := reader.read(position, max_frames=500, max_bytes=10**6)).payloads:
        items += [records.decode(payload) for payload in frames.payloads]
        position, lost = frames.next_position, lost + frames.lost

    kept = [item for item in items if isinstance(item, ObservationRecord)]
    last = [item for item in items if isinstance(item, Mark)][-1]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limits.max_bytes
    assert last.seen == len(ids)
    assert (kept[0].inputs, kept[-1].inputs) == ("", '{"person":{"data":["Ada"]}}')
    # What is neither kept nor left out by the sample is what the spool dropped; marks it dropped hid nothing.
    missing = last.seen - last.unsampled - len(kept)
    assert 0 < missing <= lost == writer.dropped


@pytest.mark.parametrize("hashed", [(), ("person",)])
def test_bytes_that_are_no_text_leave_the_values_out_and_the_others_in(
    spooled: Spooled, hashed: tuple[str, ...]
) -> None:
    spooled.recorder.follow(PolicyInForce(version=4, policy=CapturePolicy(hashed=hashed)))
    odd = b'{"inputs":[{"name":"person","data":["\xff\xfe"]}]}'
    spooled.recorder.record(msgspec.structs.replace(exchange("odd"), request=odd, status=400, answer=b"{}"))
    offer(spooled.recorder, IDS[:1])

    records_, last = spooled.end()

    assert [(record.prediction_id, record.status) for record in records_] == [("odd", 400), (IDS[0], 200)]
    assert (records_[0].inputs, last.seen) == ("", 2)
    assert spooled.background.failing == ()


def test_an_exchange_that_cannot_be_written_down_is_recorded_without_its_values_and_counted(spooled: Spooled) -> None:
    def written(_limit: int | None) -> tuple[bytes, bytes]:
        raise RuntimeError("a bug")

    spooled.recorder.record(msgspec.structs.replace(exchange("odd"), written=written))
    offer(spooled.recorder, IDS[:1])

    records_, last = spooled.end()

    assert [(record.prediction_id, bool(record.inputs)) for record in records_] == [("odd", False), (IDS[0], True)]
    assert (spooled.background.failures, last.seen) == ({"capture": 1}, 2)


@pytest.mark.parametrize("values", [1, 3, 4, 5_000])
def test_bytes_are_written_as_json_as_far_as_they_are_kept(spooled: Spooled, values: int) -> None:
    row = np.arange(values, dtype=np.float32)
    spooled.recorder.follow(PolicyInForce(version=4, policy=CapturePolicy(max_values=3)))
    spooled.recorder.record(msgspec.structs.replace(exchange(IDS[0]), written=_writing(row)))

    (record,), _ = spooled.end()

    kept = msgspec.json.decode(record.inputs)["x"]
    assert kept["data"] == row[:3].tolist()
    assert kept["shape"] == [values]
    assert kept.get("truncated", False) == (values > 3)


def test_a_digest_of_bytes_is_one_of_all_values(spooled: Spooled) -> None:
    long = np.arange(5_000, dtype=np.float32)
    spooled.recorder.follow(PolicyInForce(version=4, policy=CapturePolicy(max_values=3, hashed=("x",))))
    for prediction_id, row in zip(IDS, (long, long[:4_999], long), strict=False):
        spooled.recorder.record(msgspec.structs.replace(exchange(prediction_id), written=_writing(row)))

    found, _ = spooled.end()

    first, shorter, same = (msgspec.json.decode(record.inputs)["x"]["blake2b"] for record in found)
    assert first == same != shorter


def _writing(row: Array) -> Written:
    spec = Tensor(name="x", datatype="FP32", shape=(-1,))

    def written(limit: int | None) -> tuple[bytes, bytes]:
        return as_json("inputs", (spec,), {"x": row}, limit=limit), as_json("outputs", (), {}, limit=limit)

    return written
