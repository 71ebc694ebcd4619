"""The rounds of the drift watch, against a control plane that answers as it is told."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from infra.background import Background
from infra.kafka.serving_state import Documents
from schemas.documents.monitors import Monitor
from schemas.documents.records import Removed, StateRecord
from schemas.events.endpoints import ShadowSet
from schemas.events.monitors import Look
from schemas.feature_summaries import AskFeatureSummaries, FeatureSummaries, FeatureSummary
from schemas.measurement import Watermark
from tests.support.fakes import FakeClock
from tests.unit.workers.drift_watch.test_looks import EVEN, HIGH, HOUR_MS, REFERENCE, SINCE_MS, monitor, summary
from workers.drift_watch.control_plane import Answered, FixedReport
from workers.drift_watch.errors import ControlPlaneAwayError, TooLargeAnswerError
from workers.drift_watch.picture import Endpoint
from workers.drift_watch.watcher import Watcher


class Plane:
    """Answers with the summaries that are there, and keeps what is reported."""

    def __init__(self) -> None:
        self.items: list[FeatureSummary] = list(REFERENCE)
        self.watermark_ms: int | None = SINCE_MS - 1
        self.asked: list[AskFeatureSummaries] = []
        self.looks: list[Look] = []
        self.left_out: list[tuple[str, ...]] = []
        self.references: list[FixedReport] = []
        self.files: dict[str, bytes] = {}
        self.largest_ms = 10**12
        self.is_away = False
        self.refuses_looks = False

    def within(self, workspace: str | None) -> "Plane":
        assert workspace == "default"
        return self

    async def summaries(self, endpoint_id: str, asked: AskFeatureSummaries) -> FeatureSummaries:
        assert endpoint_id == "endpoint-1"
        if self.is_away:
            raise ControlPlaneAwayError("away")
        if asked.to_ms - asked.from_ms > self.largest_ms:
            raise TooLargeAnswerError("too large")
        self.asked.append(asked)
        items = [each for each in self.items if asked.from_ms <= each.start_ms < asked.to_ms]
        return FeatureSummaries(
            items=items, watermark=Watermark(watermark_ms=self.watermark_ms, freshness="fresh", lag_ms=0)
        )

    async def leave_out(self, monitor_id: str, deployment_ids: tuple[str, ...]) -> None:
        assert monitor_id == "monitor-1"
        self.left_out.append(deployment_ids)

    async def report_reference(self, monitor_id: str, report: FixedReport) -> None:
        assert monitor_id == "monitor-1"
        self.references.append(report)

    async def report_look(self, monitor_id: str, look: Look) -> Answered:
        if self.refuses_looks:
            raise ControlPlaneAwayError("away")
        assert monitor_id == "monitor-1"
        self.looks.append(look)
        return Answered(outcome="no_drift", reason="")

    async def keep(self, content: bytes) -> str:
        digest = "sha256:" + "a" * 64
        self.files[digest] = content
        return digest

    async def kept(self, digest: str) -> bytes:
        return self.files[digest]


class Stage:
    """A watcher, what it asks, and the time."""

    def __init__(self) -> None:
        self.plane, self.clock = Plane(), FakeClock(now_ms=SINCE_MS)
        self.watcher = Watcher(self.plane, clock=self.clock, background=Background())

    async def told(self, *documents: Any, is_all: bool = False) -> None:  # noqa: ANN401
        records = tuple(each if isinstance(each, Removed) else _record(each) for each in documents)

        async def read() -> AsyncIterator[Documents]:
            yield Documents(records=records, is_all=is_all)

        await self.watcher.follow(read(), on_ready=lambda: None)

    async def learned(self) -> None:
        await self.told(monitor(phase="learning", reference=None), is_all=True)
        await self.watcher.look_at_all()
        await self.told(monitor())

    def go_to(self, hours: float) -> None:
        self.clock.advance(seconds=(SINCE_MS + hours * HOUR_MS - self.clock.now_ms()) / 1_000)

    async def round_at(self, hours: float) -> list[Look]:
        self.go_to(hours)
        self.plane.watermark_ms = self.clock.now_ms()
        before = len(self.plane.looks)
        await self.watcher.look_at_all()
        return self.plane.looks[before:]


def _record(document: Monitor | Endpoint) -> StateRecord:
    is_monitor = isinstance(document, Monitor)
    return StateRecord(
        id=document.id if isinstance(document, Monitor) else "endpoint-1",
        kind="monitor" if is_monitor else "endpoint",
        workspace="default",
        stream_version=1,
        position=1,
        event_id="event-1",
        document=msgspec.Raw(msgspec.json.encode(document)),
    )


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_reference_is_read_in_whole_windows_kept_and_reported(stage: Stage) -> None:
    await stage.learned()

    (report,) = stage.plane.references
    assert (report.windows, report.rows, report.features) == (48, 48 * 200, ("input.amount",))
    assert report.digest in stage.plane.files


async def test_a_stretch_without_anything_captured_is_reported_as_such(stage: Stage) -> None:
    stage.plane.items = []
    await stage.learned()

    (report,) = stage.plane.references
    assert (report.digest, report.windows) == (None, 0)
    assert report.unusable_because.startswith("Nothing that this monitor watches")


async def test_a_window_is_looked_at_once_it_is_complete_and_then_no_more(stage: Stage) -> None:
    await stage.learned()
    stage.plane.items += [summary(0, EVEN), summary(1, EVEN)]

    first = await stage.round_at(0.5)
    second = await stage.round_at(1.01)
    nothing = await stage.round_at(1.5)
    third = await stage.round_at(2.01)

    assert [each.lacking for each in first] == ["no_data"]
    assert [(each.lacking, each.windows) for each in second] == [(None, 1)]
    assert nothing == []
    assert [each.windows for each in third] == [2]
    # Each look reads what is new only.
    assert stage.plane.asked[-1].from_ms == SINCE_MS + HOUR_MS


async def test_a_watcher_that_starts_again_gives_the_same_look(stage: Stage) -> None:
    await stage.learned()
    stage.plane.items += [summary(hour, EVEN if hour < 2 else HIGH) for hour in range(6)]
    for hour in range(1, 7):
        await stage.round_at(hour + 0.01)

    again = Stage()
    again.plane.items, again.plane.files = stage.plane.items, stage.plane.files
    await again.told(monitor(), is_all=True)

    assert await again.round_at(6.01) == stage.plane.looks[-1:]


async def test_a_view_that_is_behind_is_late_and_not_quiet(stage: Stage) -> None:
    await stage.learned()
    stage.go_to(4)
    stage.plane.watermark_ms = SINCE_MS + HOUR_MS

    await stage.watcher.look_at_all()

    assert stage.plane.looks[-1].lacking == "late"


async def test_answers_that_are_too_large_are_asked_for_in_parts(stage: Stage) -> None:
    stage.plane.largest_ms = 5 * HOUR_MS
    await stage.learned()

    assert stage.plane.references[0].windows == 48
    assert {each.to_ms - each.from_ms for each in stage.plane.asked} <= {HOUR_MS * hours for hours in (1, 2, 3, 4, 5)}


async def test_trouble_is_counted_and_the_next_round_goes_on(stage: Stage) -> None:
    await stage.learned()
    stage.plane.items.append(summary(0, EVEN))
    stage.plane.is_away = True

    assert await stage.round_at(1.01) == []
    stage.plane.is_away = False

    assert await stage.round_at(1.0101) == []
    assert [each.windows for each in await stage.round_at(1.02)] == [1]
    assert stage.watcher.failed_looks == 1


async def test_a_monitor_whose_evidence_begins_anew_is_looked_at_from_there(stage: Stage) -> None:
    await stage.learned()
    stage.plane.items += [summary(hour, HIGH) for hour in range(6)]
    await stage.round_at(4.01)

    await stage.told(monitor(since_ms=SINCE_MS + 5 * HOUR_MS, begun_at_version=4, stream_version=4))
    looks = await stage.round_at(6.01)

    assert [(each.since_ms, each.windows) for each in looks] == [(SINCE_MS + 5 * HOUR_MS, 1)]


async def test_paused_and_removed_monitors_are_left_alone(stage: Stage) -> None:
    await stage.learned()
    await stage.told(monitor(phase="paused"))
    assert await stage.round_at(1.01) == []

    await stage.told(monitor())
    await stage.told(is_all=True)

    assert await stage.round_at(2.01) == []
    assert stage.watcher.monitors == {}


async def test_a_look_that_could_not_be_sent_is_sent_later(stage: Stage) -> None:
    await stage.learned()
    stage.plane.items.append(summary(0, EVEN))
    await stage.round_at(0.5)
    stage.plane.refuses_looks = True
    await stage.round_at(1.01)
    stage.plane.refuses_looks = False

    assert [each.windows for each in await stage.round_at(1.1)] == [1]


async def test_a_reference_is_fixed_once_the_view_has_all_of_it(stage: Stage) -> None:
    stage.plane.watermark_ms = SINCE_MS - HOUR_MS
    await stage.told(monitor(phase="learning", reference=None), is_all=True)
    await stage.watcher.look_at_all()
    assert stage.plane.references == []

    await stage.round_at(0.1)

    assert [each.windows for each in stage.plane.references] == [48]


async def test_a_stretch_that_has_too_little_is_read_again_less_and_less_often(stage: Stage) -> None:
    stage.plane.items = []
    await stage.told(monitor(phase="learning", reference=None), is_all=True)
    for _ in range(600):
        stage.clock.advance(seconds=1)
        await stage.watcher.look_at_all()

    assert 10 <= len(stage.plane.references) <= 16


async def test_a_shadow_is_reported_before_anything_of_it_counts(stage: Stage) -> None:
    await stage.learned()
    await stage.told(Endpoint(shadow=ShadowSet(deployment_id="copy", percent=100, reason="try")))
    looks = await stage.round_at(1.01)
    await stage.told(monitor(left_out=("copy",), begun_at_version=3))
    later = await stage.round_at(1.02)

    assert (looks, stage.plane.left_out) == ([], [("copy",)])
    assert [each.begun_at_version for each in later] == [3]
