"""The history checker finds what it is there to find; a sound history passes."""

from collections.abc import Callable

import msgspec
import pytest

from schemas.catalogue import TYPE_NAMES
from schemas.envelope import Envelope, encode, encode_data
from schemas.events.endpoints import Allocation, BucketRange, EndpointCreated, TrafficApplied, TrafficShifted
from schemas.events.registry import ModelRegistered
from schemas.events.rollouts import RolloutCompleted, StepStarted
from schemas.identifiers import EventId, StreamId
from tests.support.history import Acknowledged, Copy, History, faults_of

ENDPOINT, ROLLOUT, MODEL = "endpoint-1", "rollout-1", "model-1"
Change = Callable[[list[Copy]], list[Copy]]


def event(position: int, stream: str, version: int, fact: msgspec.Struct) -> Copy:
    envelope = Envelope(
        type=TYPE_NAMES[type(fact)],
        id=EventId(f"event-{position}"),
        time="2026-01-02T03:04:05.678Z",
        workspace="default",
        stream=StreamId(stream),
        streamversion=version,
        actor="principal-1",
        correlationid="c",
        causationid="c",
        commandid="c",
        data=encode_data(fact),
    )
    return Copy(position, encode(envelope))


def shifted(*shares: tuple[float, int, int]) -> TrafficShifted:
    allocations = tuple(
        Allocation(deployment_id=f"deployment-{start}", weight_percent=weight, ranges=(BucketRange(start, end),))
        for weight, start, end in shares
    )
    return TrafficShifted(allocations=allocations, reason="", rollout_id=None, step=None)


def applied(epoch: int) -> TrafficApplied:
    return TrafficApplied(epoch=epoch, region="local", gateway_id="gateway-1", applied_at="2026-01-02T03:04:05.678Z")


def sound_log() -> list[Copy]:
    return [
        event(1, ENDPOINT, 1, EndpointCreated(name="digits", description="", salt="")),
        event(2, MODEL, 1, ModelRegistered(name="digits", description="", tags={})),
        event(3, ENDPOINT, 2, shifted((10.0, 0, 1_000), (90.0, 1_000, 10_000))),
        event(4, ROLLOUT, 1, StepStarted(step=0, weight_percent=10.0, epoch=2, reason="")),
        event(5, ENDPOINT, 3, applied(2)),
        event(6, ROLLOUT, 2, RolloutCompleted(reason="")),
    ]


def history(
    log: list[Copy],
    *,
    topic: list[Copy] | None = None,
    view: list[Copy] | None = None,
    made: tuple[int, str] = (2, MODEL),
) -> History:
    return History(
        stored=log,
        published=log if topic is None else topic,
        viewed=log if view is None else view,
        acknowledged=[Acknowledged(stream=made[1], position=made[0])],
    )


def removed(log: list[Copy]) -> list[Copy]:
    return [copy for copy in log if copy.position != 3]


def doubled(log: list[Copy]) -> list[Copy]:
    return [*log[:3], log[2], *log[3:]]


def reordered(log: list[Copy]) -> list[Copy]:
    return [*log[:2], log[4], log[3], log[2], log[5]]


CHANGES = pytest.mark.parametrize("change", [removed, doubled, reordered])


def test_a_sound_history_has_no_fault() -> None:
    assert faults_of(history(sound_log())) == []


@CHANGES
def test_a_store_in_which_an_event_is_missing_doubled_or_moved_is_found(change: Change) -> None:
    changed = change(sound_log())

    faults = faults_of(history(changed))

    assert any(fault.startswith("store: ") for fault in faults)


@CHANGES
def test_a_topic_in_which_an_event_is_missing_doubled_or_moved_is_found(change: Change) -> None:
    log = sound_log()

    faults = faults_of(history(log, topic=change(log)))

    assert faults
    assert all(fault.startswith("topic: ") for fault in faults)


@CHANGES
def test_a_view_in_which_an_event_is_missing_doubled_or_moved_is_found(change: Change) -> None:
    log = sound_log()

    faults = faults_of(history(log, view=change(log)))

    assert faults
    assert all(fault.startswith("view: ") for fault in faults)


def test_an_event_cut_off_the_end_of_all_copies_breaks_a_promise() -> None:
    log = sound_log()

    faults = faults_of(history(log[:5], made=(6, ROLLOUT)))

    assert len(faults) == 1
    assert ROLLOUT in faults[0]


def test_two_commands_that_were_told_the_same_thing_are_found() -> None:
    sound = history(sound_log())

    faults = faults_of(msgspec.structs.replace(sound, acknowledged=[*sound.acknowledged, *sound.acknowledged]))

    assert faults == [f"two commands were told that they made {MODEL}"]


@pytest.mark.parametrize(
    ("again", "what"),
    [
        (event(7, ENDPOINT, 4, applied(2)), "applied epoch 2"),
        (event(7, ROLLOUT, 3, StepStarted(step=0, weight_percent=10.0, epoch=2, reason="")), "started step 0"),
        (event(7, ROLLOUT, 3, RolloutCompleted(reason="again")), "reached its end"),
    ],
)
def test_a_command_that_had_its_effect_twice_is_found(again: Copy, what: str) -> None:
    faults = faults_of(history([*sound_log(), again]))

    assert len(faults) == 1
    assert what in faults[0]


def test_an_applied_epoch_that_no_event_made_is_found() -> None:
    faults = faults_of(history([*sound_log(), event(7, ENDPOINT, 4, applied(3))]))

    assert len(faults) == 1
    assert "epoch 3" in faults[0]


@pytest.mark.parametrize(
    "shares",
    [
        ((10.0, 0, 1_000), (90.0, 1_001, 10_000)),
        ((10.0, 0, 1_001), (90.0, 1_000, 10_000)),
        ((100.0, 0, 9_999),),
        ((20.0, 0, 1_000), (80.0, 1_000, 10_000)),
    ],
)
def test_weights_that_do_not_tile_the_buckets_are_found(shares: tuple[tuple[float, int, int], ...]) -> None:
    faults = faults_of(history([*sound_log(), event(7, ENDPOINT, 4, shifted(*shares))]))

    assert len(faults) == 1
    assert "tile" in faults[0]
