"""Whoever reads the log reads one that a newer release wrote: whatever it can't understand stops nobody.

Each reader goes through the same story, in which events have unknown types, unknown variants and unknown members.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from control_plane.audit.history import HistoryChecker
from control_plane.catalogue.rebuild import rows_of
from control_plane.declared import AGGREGATES
from control_plane.event_feed import operations as event_feed
from control_plane.log.ports import LoggedEvent, LogPage
from control_plane.relay.record import from_record, to_record
from projections.messages import Message
from projections.rollout_timeline.rows import ROLLOUT_TIMELINE
from projections.views import projector_of
from schemas.envelope import RecordedEvent
from schemas.topics import REGISTRY_EVENTS
from tests.support.log_story import log_story, recorded, with_data, with_type

STORY = log_story()
Log = Sequence[RecordedEvent]


def views(log: Log) -> tuple[int, object]:
    projector, parts = projector_of(REGISTRY_EVENTS), []
    for offset, event in enumerate(log):
        message = Message(
            topic=REGISTRY_EVENTS.name,
            partition=0,
            offset=offset,
            timestamp_ms=0,
            key=event.envelope.stream.encode(),
            value=event.canonical,
            headers=(("position", str(event.position).encode()),),
        )
        parts.append(projector.project(message))
    timeline = [
        row["summary"]
        for each in parts
        for rows in each
        if rows.table is ROLLOUT_TIMELINE
        for row in _mappings(rows.values)
    ]
    (last,) = _mappings(parts[-1][-1].values)
    return last["position"], timeline


def _mappings(values: Any) -> list[dict[str, Any]]:  # noqa: ANN401  rows may also be columns
    return list(values)


def catalogue(log: Log) -> tuple[int, object]:
    return log[-1].position, [
        msgspec.structs.replace(row, stream_version=0, body=b"") for row in rows_of(log, AGGREGATES)
    ]


def relay(log: Log) -> tuple[int, object]:
    records = [to_record(_logged(event)) for event in log]
    read = [from_record(_Consumed(offset, record)) for offset, record in enumerate(records)]
    assert [event.canonical for event in read] == [event.canonical for event in log]
    return read[-1].position, None


class _Consumed:
    def __init__(self, offset: int, record: Any) -> None:  # noqa: ANN401  what aiokafka would return
        self.offset, self.key, self.value, self.headers = offset, record.key, record.value, record.headers


def audit(log: Log) -> tuple[int, object]:
    """Verify the log, which is also how a restore reads it."""
    checker = HistoryChecker("store")
    for event in log:
        checker.take(_logged(event))
    evidence = checker.evidence()
    assert evidence.size == len(log)
    return evidence.position, None


def feed(log: Log) -> tuple[int, object]:
    head = log[-1].position
    page = [_logged(event) for event in log]
    shown = event_feed._shown(LogPage(events=page, head=head, read_until=head))  # noqa: SLF001  the rim
    fed = msgspec.json.decode(shown.body)
    assert fed["items"][-1]["position"] == head
    return fed["read_until"], None


def _logged(event: RecordedEvent) -> LoggedEvent:
    envelope = event.envelope
    return LoggedEvent(event.position, envelope.stream, envelope.streamversion, envelope.type, event.canonical)


READERS: dict[str, Callable[[Log], tuple[int, object]]] = {
    "views": views,
    "catalogue": catalogue,
    "relay": relay,
    "audit": audit,
    "feed": feed,
}
VARIANTS: dict[str, dict[str, object]] = {
    "registry.ModelVersionRegistered.v1": {"artifact": {"digest": "sha256:00", "size_bytes": 1, "format": "gguf"}},
    "endpoints.DeploymentAdded.v1": {"artifact": {"digest": "sha256:00", "size_bytes": 1, "format": "gguf"}},
    "rollouts.RolloutStarted.v1": {"gates": [{"kind": "fairness", "max_gap": 0.1}]},
    "rollouts.StepJudged.v1": {"decision": "ponder"},
    "access.PrincipalRegistered.v1": {"kind": "team"},
    "access.RoleGranted.v2": {"role": "owner"},
    "batches.BatchCreated.v1": {"endpoint": "/v1/images/generations"},
}
"""What a newer release may say in an event of a known type."""


def replaced(event: RecordedEvent, other: RecordedEvent) -> list[RecordedEvent]:
    return [other if one is event else one for one in STORY]


@pytest.fixture(params=list(READERS.values()), ids=list(READERS))
def reader(request: pytest.FixtureRequest) -> Iterator[Callable[[Log], tuple[int, object]]]:
    with capture_logs() as logs:
        yield request.param
    # The gateway leaves out what it can't build, and says so.
    assert [entry for entry in logs if entry["event"] == "resources_not_built"] == []


def test_unknown_members_are_passed_over(reader: Callable[[Log], tuple[int, object]]) -> None:
    newer = [with_data(event, surprise={"of": "a newer release"}) for event in STORY]

    assert reader(newer) == reader(STORY)


def test_events_of_unknown_types_change_nothing_but_the_position(
    reader: Callable[[Log], tuple[int, object]],
) -> None:
    newer: list[RecordedEvent] = []
    for event in STORY:
        unknown = msgspec.structs.replace(
            event.envelope, type="later.SomethingNew.v1", stream=f"later-{event.position}", streamversion=1
        )
        newer += [
            recorded(2 * event.position - 1, event.envelope),
            recorded(2 * event.position, unknown),
        ]

    position, picture = reader(newer)

    assert (position, picture) == (2 * len(STORY), reader(STORY)[1])


@pytest.mark.parametrize("event", STORY, ids=lambda event: f"{event.position}-{event.envelope.type}")
def test_a_newer_version_of_an_event_stops_nobody(
    reader: Callable[[Log], tuple[int, object]], event: RecordedEvent
) -> None:
    newer = with_type(event, f"{event.envelope.type.partition('.v')[0]}.v9")

    position, _ = reader(replaced(event, newer))

    assert position == len(STORY)


@pytest.mark.parametrize("type_name", VARIANTS)
def test_an_unknown_variant_stops_nobody(reader: Callable[[Log], tuple[int, object]], type_name: str) -> None:
    newer = [with_data(event, **VARIANTS[type_name]) if event.envelope.type == type_name else event for event in STORY]
    assert newer != STORY

    position, _ = reader(newer)

    assert position == len(STORY)
