"""Rollouts as the judge sees them, and a control plane that answers from memory."""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from infra.kafka.serving_state import Documents
from schemas.documents.endpoints import ServingRegion
from schemas.documents.records import Removed, StateRecord
from schemas.documents.rollouts import Rollout
from schemas.envelope import rfc3339
from schemas.events.endpoints import TrafficApplied
from schemas.events.rollouts import Measurement
from schemas.measurement import Arm, Measured, MeasuredRollout, MeasureEpochOf
from schemas.results import ItemProblem, Result
from tests.support.builders import BASELINE, CANDIDATE, GATES, canary, version
from tests.support.fakes import FakeClock
from workers.rollout_judge.control_plane import Judged
from workers.rollout_judge.errors import PartAwayError
from workers.rollout_judge.looks import ReportWarmUp
from workers.rollout_judge.regions import Endpoint
from workers.rollout_judge.state import Instance, Moment, Picture

AT_MS = 1_700_000_000_000
ROLLOUT, ENDPOINT = "rollout-1", "endpoint-1"


def at(*, seen_s: float = 100.0, is_live: bool = False) -> Moment:
    return Moment(seen_s=seen_s, now_ms=AT_MS, is_live=is_live)


def record(kind: str, identifier: str, document: msgspec.Struct, *, position: int = 10) -> StateRecord:
    return StateRecord(
        kind=kind,
        id=identifier,
        workspace="default",
        stream_version=position,
        position=position,
        event_id=f"event-{position}",
        document=msgspec.Raw(msgspec.json.encode(document)),
    )


def rollout(*, position: int = 10, **changes: object) -> StateRecord:
    """Make the document of a rollout in step 0."""
    document = Rollout(
        id=ROLLOUT,
        endpoint_id=ENDPOINT,
        endpoint_name="digits",
        phase="stepping",
        step=0,
        weight_percent=5.0,
        epoch=5,
        candidate_deployment_id=CANDIDATE,
        candidate=version(2),
        baseline_deployment_id=BASELINE,
        baseline=version(1),
        replicas=1,
        strategy=canary(),
        gates=GATES,
        alpha=0.05,
        when_inconclusive="pause",
        warm_up_timeout_ms=30_000,
        max_lag_ms=30_000,
        allow_signature_change=False,
        verdicts=(),
        reason="because",
        started_at=rfc3339(AT_MS - 90_000),
        step_started_at=None,
        finished_at=None,
        stream_version=position,
    )
    document = msgspec.structs.replace(document, **changes)
    return record("rollout", document.id, document, position=position)


def applied(
    *epochs: tuple[int, int],
    position: int = 10,
    endpoint: str = ENDPOINT,
    regions: Sequence[ServingRegion] = (),
) -> StateRecord:
    """Make the document of an endpoint whose regions, called r0, r1 and so on, serve epochs since times in ms."""
    moments = [
        TrafficApplied(epoch=epoch, region=f"r{number}", gateway_id="gateway-1", applied_at=rfc3339(at_ms))
        for number, (epoch, at_ms) in enumerate(epochs)
    ]
    document = Endpoint(applied=tuple(moments), regions=tuple(regions))
    return record("endpoint", endpoint, document, position=position)


def instance(identifier: str, *, position: int = 10, **changes: object) -> StateRecord:
    """Make the document of an instance of the candidate that takes traffic."""
    document = msgspec.structs.replace(Instance(deployment_id=CANDIDATE, phase="announced"), **changes)
    return record("instance", identifier, document, position=position)


def active(
    *, applied_at: int | None = AT_MS - 60_000, instances: int = 1, failure: str | None = None, **changes: object
) -> tuple[StateRecord, ...]:
    """Make the documents of a rollout in step 0, applied a minute ago, whose candidate has an instance."""
    failed = instance("instance-failed", phase="failed", code="wrong-digest", reason=failure)
    return (
        rollout(**changes),  # type: ignore[arg-type]  # of the document, not its position
        applied(*(() if applied_at is None else ((5, applied_at),))),
        *(instance(f"instance-{number}") for number in range(1, instances + 1)),
        *(() if failure is None else (failed,)),
    )


def picture(*records: StateRecord | Removed, moment: Moment | None = None) -> Picture:
    """Make the picture that documents leave, one after another."""
    made = Picture()
    for each in records:
        made.take(later(each), moment or at())
    return made


def later(*records: StateRecord | Removed) -> Documents:
    return Documents(records=records, is_all=False)


async def topic(*parts: tuple[StateRecord | Removed, ...]) -> AsyncGenerator[Documents, None]:
    """Yield what is there, which is the first part, and what comes; then end."""
    for number, part in enumerate(parts):
        yield Documents(records=part, is_all=number == 0)


def clock() -> FakeClock:
    return FakeClock(now_ms=AT_MS)


def view(**changes: object) -> Measured:
    """Make an answer of the view that reaches ten seconds beyond the moment the epoch was applied."""
    arms = {
        CANDIDATE: Arm(requests=500, errors=1, slow=2, labelled=450, wrong=30),
        BASELINE: Arm(requests=9_500, errors=3, slow=9, labelled=9_000, wrong=1_700),
    }
    answer = Measured(freshness="fresh", watermark_ms=AT_MS - 50_000, lag_ms=400, waiting_for=(), arms=arms)
    return msgspec.structs.replace(answer, **changes)


class MemoryPlane:
    """Answers from memory and keeps what was sent; `is_away` makes every call fail, `is_view_away` the looks.

    `refused` are the rollouts whose measurements are refused, `bug_in` is one whose warm-up meets a bug; `looks` has
    how many epochs were asked for at once.
    """

    def __init__(self, answer: Measured) -> None:
        self.answer = answer
        self.is_away = False
        self.is_view_away = False
        self.bug_in = ""
        self.refused: set[str] = set()
        self.looks: list[int] = []
        self.workspaces: list[str] = []
        self.warm_ups: list[tuple[str, ReportWarmUp]] = []
        self.measurements: list[tuple[str, Measurement]] = []

    def within(self, workspace: str) -> "MemoryPlane":
        self.workspaces.append(workspace)
        return self

    async def look(self, epochs: Sequence[MeasureEpochOf]) -> list[Result[Measured]]:
        self._called()
        assert {each.endpoint for each in epochs} == {ENDPOINT}
        self.looks.append(len(epochs))
        if self.is_view_away:
            raise PartAwayError("no view")
        return [Result(answer=self.answer) for _ in epochs]

    async def report_warm_up(self, rollout_id: str, report: ReportWarmUp) -> None:
        self._called()
        if rollout_id == self.bug_in:
            raise ZeroDivisionError
        self.warm_ups.append((rollout_id, report))

    async def report_measurements(self, measured: Sequence[MeasuredRollout]) -> list[Result[Judged]]:
        self._called()
        self.measurements += [
            (each.rollout_id, each.measurement) for each in measured if each.rollout_id not in self.refused
        ]
        refused: Result[Judged] = Result(problem=ItemProblem(code="invalid-measurement", detail="no"))
        return [
            refused if each.rollout_id in self.refused else Result(answer=Judged(decision="none")) for each in measured
        ]

    def _called(self) -> None:
        if self.is_away:
            raise PartAwayError("away")
