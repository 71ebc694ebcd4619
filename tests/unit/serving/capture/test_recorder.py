"""The recorder with its thread, on a real directory."""

from pathlib import Path

import msgspec
import pytest

from schemas.events.endpoints import CapturePolicy
from serving.capture import records
from serving.capture.policy_file import PolicyInForce
from serving.capture.recorder import Exchange, Recorder
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolLimits, SpoolWriter
from serving.capture.spool_reader import SpoolReader

IDS = [f"1700000000000-{number}" for number in range(200)]


def exchange(prediction_id: str) -> Exchange:
    return Exchange(
        prediction_id=prediction_id,
        captured_at_ms=1,
        status=200,
        engine_ms=0.5,
        prediction="7",
        request=b'{"inputs":[{"name":"person","data":["Ada"]}]}',
        answer=b'{"outputs":[{"name":"label","data":[7]}]}',
    )


class Spooled(msgspec.Struct, frozen=True):
    """A recorder that is not started: what it got waits until `end` writes all of it."""

    recorder: Recorder
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
    return Spooled(Recorder(writer, in_force=PolicyInForce(), hash_key=b"key"), tmp_path)


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
