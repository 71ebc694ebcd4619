from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from infra.background import Background
from schemas.events.rollouts import RolloutAborted, StepStarted
from tests.support.builders import rollout_started
from tests.support.fakes import FakeClock
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    ROLLOUT,
    MemoryLog,
    MemoryPlane,
    active,
    recorded,
    snapshot,
    view,
)
from workers.rollout_judge.control_plane import ControlPlane
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.judge import Judge


async def judge_of(plane: MemoryPlane, clock: FakeClock, log: MemoryLog | None = None) -> Judge:
    judge = Judge(plane, monotonic=clock.monotonic, background=Background())
    await judge.follow(log or MemoryLog(), on_ready=lambda: None)
    return judge


async def test_a_step_is_measured_and_sent() -> None:
    plane = MemoryPlane(snapshot(active()), view())
    judge = await judge_of(plane, FakeClock())

    await judge.look_at_all()

    ((rollout_id, measurement),) = plane.measurements
    assert (rollout_id, measurement.step, measurement.epoch) == (ROLLOUT, 0, 5)


async def test_the_same_watermark_is_sent_once() -> None:
    plane = MemoryPlane(snapshot(active()), view())
    judge = await judge_of(plane, FakeClock())

    for _ in range(3):
        await judge.look_at_all()
    plane.answer = view(watermark_ms=AT_MS)
    await judge.look_at_all()

    assert len(plane.measurements) == 2


async def test_a_bug_in_the_look_at_one_rollout_is_counted_and_ends_no_look_at_another() -> None:
    other = "rollout-2"
    plane = MemoryPlane(snapshot(active(), active(id=other)), view())
    background = Background()
    judge = Judge(plane, monotonic=FakeClock().monotonic, background=background)
    await judge.follow(MemoryLog(), on_ready=lambda: None)
    plane.bug_in = ROLLOUT

    await judge.look_at_all()

    assert [rollout_id for rollout_id, _ in plane.measurements] == [other]
    assert (background.failures, judge.failed_looks) == ({"judge-looks": 1}, 1)


async def test_a_warm_candidate_is_reported_as_soon_as_it_is_ready() -> None:
    warming = active(phase="warming", step=None, epoch=None, applied_at=None)
    plane = MemoryPlane(snapshot(warming), view())
    judge = await judge_of(plane, FakeClock())

    await judge.look_at_all()

    assert [report.ready_instances for _, report in plane.warm_ups] == [1]


async def test_a_part_that_is_away_is_asked_again_later_and_less_often() -> None:
    plane, clock = MemoryPlane(snapshot(active()), view()), FakeClock()
    judge = await judge_of(plane, clock)
    plane.is_away = True

    for _ in range(100):
        await judge.look_at_all()
        clock.advance(seconds=0.25)
    looked_while_away = judge.failed_looks
    plane.is_away = False
    clock.advance(seconds=5.0)
    await judge.look_at_all()

    assert 4 <= looked_while_away <= 12
    assert len(plane.measurements) == 1


async def test_a_step_whose_view_never_comes_is_told_so_that_it_ends() -> None:
    plane, clock = MemoryPlane(snapshot(active()), view(watermark_ms=None, freshness="no_data")), FakeClock()
    judge = await judge_of(plane, clock)

    for _ in range(8):
        await judge.look_at_all()
        clock.advance(seconds=0.25)

    assert [measurement.elapsed_ms for _, measurement in plane.measurements] == [60_000, 61_000]
    assert {measurement.freshness for _, measurement in plane.measurements} == {"late"}


async def test_a_step_whose_view_is_away_is_told_though_the_view_is_asked_ever_less_often() -> None:
    plane, clock = MemoryPlane(snapshot(active()), view()), FakeClock()
    judge = await judge_of(plane, clock)
    plane.is_view_away = True

    for _ in range(100):
        await judge.look_at_all()
        clock.advance(seconds=0.25)

    assert 5 <= len(plane.measurements) <= 12
    assert plane.measurements[-1][1].elapsed_ms > 75_000


async def test_nothing_is_remembered_of_a_rollout_that_is_over() -> None:
    plane, clock = MemoryPlane(snapshot(active()), view()), FakeClock()
    judge = await judge_of(plane, clock)
    plane.is_away = True
    await judge.look_at_all()

    judge.fold(recorded(11, ROLLOUT, RolloutAborted(step=0, epoch=6, reason="bad")))
    await judge.look_at_all()

    assert [name for name, kept in vars(judge).items() if isinstance(kept, dict) and ROLLOUT in kept] == []


async def test_events_that_the_snapshot_covers_are_not_taken_twice() -> None:
    old = recorded(9, ROLLOUT, RolloutAborted(step=0, epoch=6, reason="bad"))

    judge = await judge_of(MemoryPlane(snapshot(active()), view()), FakeClock(), MemoryLog([old]))

    assert set(judge.rollouts) == {ROLLOUT}


async def test_events_after_the_snapshot_change_the_picture() -> None:
    events = [
        recorded(11, ROLLOUT, StepStarted(step=1, weight_percent=25.0, epoch=7, reason="good")),
        recorded(12, "rollout-2", rollout_started()),
        recorded(12, "rollout-2", RolloutAborted(step=None, epoch=None, reason="seen twice")),
    ]

    judge = await judge_of(MemoryPlane(snapshot(active()), view()), FakeClock(), MemoryLog(events))

    assert {key: each.step for key, each in judge.rollouts.items()} == {ROLLOUT: 1, "rollout-2": None}


async def test_an_event_of_a_newer_release_is_passed_over() -> None:
    known = recorded(11, ROLLOUT, RolloutAborted(step=0, epoch=6, reason="bad"))
    envelope = msgspec.structs.replace(known.envelope, type="rollouts.RolloutAdmired.v1")
    unknown = msgspec.structs.replace(known, envelope=envelope)

    judge = await judge_of(MemoryPlane(snapshot(active()), view()), FakeClock(), MemoryLog([unknown]))

    assert set(judge.rollouts) == {ROLLOUT}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "service.token"
    path.write_text("rb_secret\n")
    return path


def plane_of(answer: Callable[[httpx.Request], httpx.Response], token_file: Path) -> ControlPlane:
    return ControlPlane("http://api", token_file=token_file, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (503, b"{}", PartAwayError),
        (200, b"<html>", PartAwayError),
        (422, b"{}", RefusedError),
        (401, b"{}", RefusedError),
    ],
)
async def test_trouble_with_the_api_is_told_apart(
    token_file: Path, status: int, content: bytes, expected: type[Exception]
) -> None:
    plane = plane_of(lambda _: httpx.Response(status, content=content), token_file)

    with pytest.raises(expected):
        await plane.snapshot()
    await plane.close()


async def test_a_connection_that_fails_is_a_part_that_is_away(token_file: Path) -> None:
    def failing(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    plane = plane_of(failing, token_file)

    with pytest.raises(PartAwayError, match="refused"):
        await plane.snapshot()
    await plane.close()


async def test_every_call_carries_the_token_that_is_good_now(token_file: Path) -> None:
    seen: list[httpx.Request] = []

    def keeping(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=msgspec.json.encode(snapshot()))

    plane = plane_of(keeping, token_file)
    await plane.snapshot()
    token_file.write_text("rb_another")
    await plane.snapshot()
    await plane.close()

    assert [each.headers["authorization"] for each in seen] == ["Bearer rb_secret", "Bearer rb_another"]
    assert seen[0].url.path == "/v1/snapshots/rollouts"


async def test_a_token_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    plane = plane_of(lambda _: httpx.Response(200), tmp_path / "missing.token")

    with pytest.raises(PartAwayError, match="No such file"):
        await plane.snapshot()
    await plane.close()
