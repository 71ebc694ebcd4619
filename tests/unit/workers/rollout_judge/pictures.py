"""Rollouts as the judge sees them, and a control plane that answers from memory."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from schemas.catalogue import TYPE_NAMES
from schemas.envelope import Envelope, RecordedEvent, encode, encode_data, rfc3339
from schemas.events.rollouts import Measurement
from schemas.identifiers import EventId, StreamId
from tests.support.builders import BASELINE, CANDIDATE, GATES
from workers.rollout_judge.answers import (
    ActiveRolloutAnswer,
    Arm,
    MeasurementAnswer,
    RolloutAnswer,
    SnapshotAnswer,
)
from workers.rollout_judge.control_plane import Judged
from workers.rollout_judge.errors import PartAwayError
from workers.rollout_judge.looks import LookAtView, ReportWarmUp

AT_MS = 1_700_000_000_000
ROLLOUT, ENDPOINT = "rollout-1", "endpoint-1"


def recorded(position: int, stream: str, event: msgspec.Struct) -> RecordedEvent:
    envelope = Envelope(
        type=TYPE_NAMES[type(event)],
        id=EventId(f"event-{position}"),
        time=rfc3339(AT_MS + position),
        workspace="default",
        stream=StreamId(stream),
        streamversion=position,
        actor="principal-1",
        correlationid="correlation-1",
        causationid="command-1",
        commandid="command-1",
        data=encode_data(event),
    )
    return RecordedEvent(position=position, envelope=envelope, canonical=encode(envelope))


def active(**changes: object) -> ActiveRolloutAnswer:
    """Make the snapshot's picture of a rollout in step 0, applied a minute before the snapshot."""
    rollout = RolloutAnswer(
        id=ROLLOUT,
        endpoint_id=ENDPOINT,
        phase="stepping",
        step=0,
        epoch=5,
        candidate_deployment_id=CANDIDATE,
        baseline_deployment_id=BASELINE,
        replicas=1,
        gates=GATES,
        warm_up_timeout_ms=30_000,
        started_at=rfc3339(AT_MS - 90_000),
    )
    own = {name: value for name, value in changes.items() if name in rollout.__struct_fields__}
    picture = ActiveRolloutAnswer(
        rollout=msgspec.structs.replace(rollout, **own),
        applied_at=rfc3339(AT_MS - 60_000),
        candidate_instances=("instance-1",),
        candidate_failure=None,
    )
    return msgspec.structs.replace(picture, **{name: value for name, value in changes.items() if name not in own})


def snapshot(*rollouts: ActiveRolloutAnswer, position: int = 10) -> SnapshotAnswer:
    return SnapshotAnswer(position=position, at=rfc3339(AT_MS), rollouts=rollouts)


def view(**changes: object) -> MeasurementAnswer:
    """Make an answer of the view that reaches ten seconds beyond the moment the epoch was applied."""
    arms = {
        CANDIDATE: Arm(requests=500, errors=1, slow=2, labelled=450, wrong=30),
        BASELINE: Arm(requests=9_500, errors=3, slow=9, labelled=9_000, wrong=1_700),
    }
    answer = MeasurementAnswer(freshness="fresh", watermark_ms=AT_MS - 50_000, lag_ms=400, arms=arms)
    return msgspec.structs.replace(answer, **changes)


class MemoryPlane:
    """Answers from memory and keeps what was sent; `is_away` makes every call fail, `is_view_away` the looks."""

    def __init__(self, taken: SnapshotAnswer, answer: MeasurementAnswer) -> None:
        self.taken, self.answer = taken, answer
        self.is_away = False
        self.is_view_away = False
        self.bug_in = ""
        self.warm_ups: list[tuple[str, ReportWarmUp]] = []
        self.measurements: list[tuple[str, Measurement]] = []

    async def snapshot(self) -> SnapshotAnswer:
        self._called()
        return self.taken

    async def look(self, look: LookAtView) -> MeasurementAnswer:
        self._called()
        assert look.endpoint_id == ENDPOINT
        if self.is_view_away:
            raise PartAwayError("no view")
        return self.answer

    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None:
        self._called()
        self.warm_ups.append((rollout_id, report))

    async def report_measurement(self, rollout_id: str, measurement: Measurement) -> Judged:
        self._called()
        if rollout_id == self.bug_in:
            raise ZeroDivisionError
        self.measurements.append((rollout_id, measurement))
        return Judged(decision="none")

    def _called(self) -> None:
        if self.is_away:
            raise PartAwayError("away")


class MemoryLog:
    """A log that ends; the order of the calls is kept."""

    def __init__(self, events: Sequence[RecordedEvent] = ()) -> None:
        self._events = events
        self.is_marked = False

    async def mark_end(self) -> None:
        self.is_marked = True

    async def events(self) -> AsyncIterator[RecordedEvent]:
        assert self.is_marked, "the end is marked before the log is read"
        for event in self._events:
            yield event

    async def close(self) -> None:
        self.is_marked = False
