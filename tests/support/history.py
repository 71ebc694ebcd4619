"""Whether a history could have come about without a loss, a doubling or a change of order. Pure.

The log of the store, the topic and the view of all events are three copies of one history. Beside them stands what
clients were told: whatever the stack did to itself meanwhile, an acknowledged event is there, with one effect.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

from schemas.catalogue import decode_data
from schemas.envelope import Envelope, decode
from schemas.events.endpoints import BUCKETS, TrafficApplied, TrafficShifted
from schemas.events.rollouts import (
    RolloutAborted,
    RolloutCompleted,
    RolloutPromoted,
    RolloutStarted,
    StepJudged,
    StepStarted,
)


class Copy(msgspec.Struct, frozen=True):
    """An event where it lies: its position and its canonical bytes."""

    position: int
    canonical: bytes


class Acknowledged(msgspec.Struct, frozen=True):
    """What a client was told of its command: the thing it made, and the log's position then."""

    stream: str
    position: int


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a run, each copy in the order in which it is read."""

    stored: Sequence[Copy]
    published: Sequence[Copy]
    viewed: Sequence[Copy]
    acknowledged: Sequence[Acknowledged] = ()


class _Event(msgspec.Struct, frozen=True):
    position: int
    envelope: Envelope
    fact: msgspec.Struct | None


def faults_of(history: History) -> list[str]:
    """Return a sentence for each thing that is wrong; none for a sound history."""
    events = [_read(copy) for copy in history.stored]
    faults = [fault for check in _CHECKS for fault in check(events)]
    faults += _differences("topic", history.stored, history.published)
    faults += _differences("view", history.stored, history.viewed)
    faults += _unkept_promises(events, history.acknowledged)
    return faults


def _read(copy: Copy) -> _Event:
    envelope = decode(copy.canonical)
    return _Event(copy.position, envelope, decode_data(envelope.type, envelope.data))


def _falling_positions(events: Sequence[_Event]) -> Iterator[str]:
    for before, after in pairwise(events):
        if after.position <= before.position:
            yield f"store: position {after.position} follows position {before.position}"


def _versions_with_gaps(events: Sequence[_Event]) -> Iterator[str]:
    versions: Counter[str] = Counter()
    for event in events:
        stream, version = event.envelope.stream, event.envelope.streamversion
        if version != versions[stream] + 1:
            yield f"store: {stream} goes from version {versions[stream]} to {version}"
        versions[stream] = version


def _repeated_ids(events: Sequence[_Event]) -> Iterator[str]:
    for identifier, times in Counter(event.envelope.id for event in events).items():
        if times > 1:
            yield f"store: event {identifier} stands there {times} times"


def _repeated_effects(events: Sequence[_Event]) -> Iterator[str]:
    """Find facts that can be true only once of a rollout or an endpoint, however often a command was repeated."""
    for effect, times in Counter(filter(None, map(_single_effect, events))).items():
        if times > 1:
            yield f"store: {' '.join(map(str, effect))} happened {times} times"


def _single_effect(event: _Event) -> tuple[str | int, ...] | None:
    stream = event.envelope.stream
    match event.fact:
        case TrafficApplied(epoch=epoch, region=region, gateway_id=gateway_id):
            return (stream, "applied epoch", epoch, "in", region, "at", gateway_id)
        case StepStarted(step=step):
            return (stream, "started step", step)
        case StepJudged(measurement=measurement):
            return (stream, "judged the watermark", measurement.watermark_ms)
        case RolloutCompleted() | RolloutAborted():
            return (stream, "reached its end")
        case RolloutStarted() | RolloutPromoted():
            return (stream, event.envelope.type)
        case _:
            return None


def _unknown_epochs(events: Sequence[_Event]) -> Iterator[str]:
    epochs: dict[str, set[int]] = defaultdict(set)
    for event in events:
        match event.fact:
            case TrafficShifted():
                epochs[event.envelope.stream].add(event.envelope.streamversion)
            case TrafficApplied(epoch=epoch) if epoch not in epochs[event.envelope.stream]:
                yield f"store: {event.envelope.stream} applied epoch {epoch}, and no traffic was shifted then"
            case _:
                continue


def _wrong_weights(events: Sequence[_Event]) -> Iterator[str]:
    for event in events:
        if isinstance(event.fact, TrafficShifted) and not _tiles(event.fact):
            yield f"store: the weights at position {event.position} do not tile the buckets, or are not their sizes"


def _tiles(shift: TrafficShifted) -> bool:
    ranges = sorted((part.start, part.end) for one in shift.allocations for part in one.ranges)
    starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
    has_sizes = all(
        abs(sum(part.end - part.start for part in one.ranges) - one.weight_percent * BUCKETS / 100) < 1
        for one in shift.allocations
    )
    return [*starts, BUCKETS] == [0, *ends] and has_sizes


_CHECKS: tuple[Callable[[Sequence[_Event]], Iterator[str]], ...] = (
    _falling_positions,
    _versions_with_gaps,
    _repeated_ids,
    _repeated_effects,
    _unknown_epochs,
    _wrong_weights,
)


def _differences(where: str, stored: Sequence[Copy], copied: Sequence[Copy]) -> list[str]:
    """Say what a copy lacks or has too often; only where it has all of it once, whether its order differs."""
    expected, found = Counter(stored), Counter(copied)
    faults = [f"{where}: position {copy.position} is missing or other than stored" for copy in expected - found]
    faults += [f"{where}: position {copy.position} is there too often or was never stored" for copy in found - expected]
    if not faults and list(stored) != list(copied):
        faults.append(f"{where}: the events are not in the order of the store")
    return faults


def _unkept_promises(events: Sequence[_Event], acknowledged: Sequence[Acknowledged]) -> list[str]:
    streams = {event.position: event.envelope.stream for event in events}
    faults = [
        f"store: a client was told that {one.stream} came to be by position {one.position}, and it is not there"
        for one in acknowledged
        if streams.get(one.position) != one.stream
    ]
    made = Counter(one.stream for one in acknowledged)
    return faults + [f"two commands were told that they made {stream}" for stream, times in made.items() if times > 1]
