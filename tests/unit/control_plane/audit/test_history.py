"""The checker is itself checked: it fails on each way in which a log can be wrong."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from control_plane.audit.checkpoint import Checkpoint
from control_plane.audit.history import Evidence, HistoryChecker, difference
from control_plane.event_store.codec import EventFrame, encode_event
from control_plane.log.errors import LogBrokenError
from control_plane.log.ports import LoggedEvent
from schemas.envelope import encode
from schemas.events.registry import VersionNumberAssigned
from tests.support.store import context, model_id

Log = list[LoggedEvent]


def _event(position: int, stream: int, version: int, *, number: int = 1) -> LoggedEvent:
    frame = EventFrame(context=context(), stream=model_id(stream), time="2026-01-02T03:04:05.678Z")
    fact = VersionNumberAssigned(version_id="version-1", number=number)
    envelope = encode_event(fact, frame, version=version, event_id=f"event-{position}")
    return LoggedEvent(position, envelope.stream, version, envelope.type, encode(envelope))


def _checked(log: Log, *, checkpoints: Sequence[Checkpoint] = ()) -> Evidence:
    checker = HistoryChecker("store", checkpoints=checkpoints)
    for event in log:
        checker.take(event)
    return checker.evidence()


LOG = [_event(1, 1, 1), _event(2, 2, 1), _event(3, 1, 2), _event(7, 1, 3), _event(8, 2, 2)]
SOUND = _checked(LOG)
CHECKPOINT = Checkpoint(origin="o", size=SOUND.size, root=SOUND.root)


def _without_one(log: Log) -> Log:
    return [*log[:2], *log[3:]]


def _with_one_twice(log: Log) -> Log:
    return [*log[:3], msgspec.structs.replace(log[2], position=4), *log[3:]]


def _reordered(log: Log) -> Log:
    return [log[0], *(_at(log[3], 2), _at(log[2], 3)), *log[4:]]


def _at(event: LoggedEvent, position: int) -> LoggedEvent:
    return msgspec.structs.replace(event, position=position)


def _out_of_position(log: Log) -> Log:
    return [log[1], log[0], *log[2:]]


def _garbled(log: Log) -> Log:
    return [*log[:4], msgspec.structs.replace(log[4], canonical=log[4].canonical[:-1])]


def _mislabelled(log: Log) -> Log:
    return [*log[:4], msgspec.structs.replace(log[4], type_name="registry.ModelRegistered.v1")]


def _changed(log: Log) -> Log:
    return [*log[:4], _event(8, 2, 2, number=9)]


def _shortened(log: Log) -> Log:
    return log[:-1]


def test_a_sound_log_passes_and_gaps_in_positions_are_no_fault() -> None:
    evidence = _checked(LOG, checkpoints=[CHECKPOINT])

    assert (evidence.size, evidence.position, evidence.streams) == (5, 8, 2)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_without_one, r"position 7: .* from version 1 to version 3; an event before it is missing"),
        (_with_one_twice, r"position 4: .* version 2 to version 2; an event comes twice or out of order"),
        (_reordered, r"position 2: .* from version 1 to version 3; an event before it is missing"),
        (_out_of_position, r"position 1: it follows position 2, but positions must increase"),
        (_garbled, r"position 8: its bytes are not an event"),
        (_mislabelled, r"position 8: the type beside it is registry.ModelRegistered.v1"),
    ],
)
def test_a_log_that_no_store_could_have_written_is_found(spoil: Callable[[Log], Log], sentence: str) -> None:
    with pytest.raises(LogBrokenError, match=sentence):
        _checked(spoil(LOG))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_changed, "the first 5 events are not those of the checkpoint"),
        (_shortened, "there are 4 events, but a checkpoint covers 5"),
    ],
)
def test_what_still_reads_well_is_found_by_a_checkpoint(spoil: Callable[[Log], Log], sentence: str) -> None:
    _checked(spoil(LOG))

    with pytest.raises(LogBrokenError, match=sentence):
        _checked(spoil(LOG), checkpoints=[CHECKPOINT])


@pytest.mark.parametrize("spoil", [_without_one, _with_one_twice, _reordered, _out_of_position, _garbled, _changed])
def test_a_root_tells_any_two_logs_apart(spoil: Callable[[Log], Log]) -> None:
    first = next(pair for pair in zip(LOG, spoil(LOG), strict=False) if pair[0] != pair[1])

    assert difference(*first) is not None


def test_the_first_difference_is_told_in_plain_words() -> None:
    assert difference(LOG[0], LOG[0]) is None
    assert difference(LOG[0], None) == "the topic ends before position 1, which the store has"
    assert difference(None, LOG[0]) == "the topic has an event at position 1 that the store lacks"
    assert str(difference(LOG[0], LOG[1])).startswith("the store goes on at position 1 (registry.VersionNumberAssigned")
    assert str(difference(LOG[4], _changed(LOG)[4])).startswith("position 8 is another event in the topic")
