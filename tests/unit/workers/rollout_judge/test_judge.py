from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from control_plane.web.bodies import decode_body
from infra.background import Background
from schemas.documents.records import Removed, StateRecord
from schemas.identifiers import WORKSPACE_HEADER
from schemas.measurement import MeasureEpochOf, MeasureEpochs
from schemas.results import Result, Results
from tests.support.fakes import FakeClock
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    ENDPOINT,
    ROLLOUT,
    MemoryPlane,
    active,
    clock,
    rollout,
    topic,
    view,
)
from workers.rollout_judge.control_plane import ControlPlane
from workers.rollout_judge.errors import PartAwayError, RefusedError
from workers.rollout_judge.judge import Judge


async def judge_of(
    plane: MemoryPlane, clock: FakeClock, *later: tuple[StateRecord | Removed, ...], **changes: object
) -> Judge:
    judge = Judge(plane, clock=clock, background=Background())
    there = active(**changes)  # type: ignore[arg-type]  # of a rollout, or of what it is about
    await judge.follow(topic(there, *later), on_ready=lambda: None)
    return judge


async def test_a_step_is_measured_and_sent() -> None:
    plane = MemoryPlane(view())
    judge = await judge_of(plane, clock())

    await judge.look_at_all()

    ((rollout_id, measurement),) = plane.measurements
    assert (rollout_id, measurement.step, measurement.epoch) == (ROLLOUT, 0, 5)


async def test_the_same_watermark_is_sent_once() -> None:
    plane = MemoryPlane(view())
    judge = await judge_of(plane, clock())

    for _ in range(3):
        await judge.look_at_all()
    plane.answer = view(watermark_ms=AT_MS)
    await judge.look_at_all()

    assert len(plane.measurements) == 2


async def test_a_bug_in_the_look_at_one_rollout_is_counted_and_ends_no_look_at_another() -> None:
    other = "rollout-2"
    plane = MemoryPlane(view())
    background = Background()
    judge = Judge(plane, clock=clock(), background=background)
    warming = rollout(phase="warming", step=None, epoch=None)
    await judge.follow(topic((*active(), rollout(id=other), warming)), on_ready=lambda: None)
    plane.bug_in = ROLLOUT

    await judge.look_at_all()

    assert [rollout_id for rollout_id, _ in plane.measurements] == [other]
    assert (background.failures, judge.failed_looks) == ({"judge-looks": 1}, 1)


async def test_all_rollouts_are_looked_at_in_one_call() -> None:
    plane = MemoryPlane(view())
    others = [rollout(id=f"rollout-{number}") for number in range(2, 31)]
    judge = Judge(plane, clock=clock(), background=Background())
    await judge.follow(topic((*active(), *others)), on_ready=lambda: None)

    await judge.look_at_all()

    assert plane.looks == [30]
    assert {rollout_id for rollout_id, _ in plane.measurements} == {f"rollout-{number}" for number in range(1, 31)}


async def test_one_that_is_refused_is_asked_again_later_and_the_others_at_once() -> None:
    other = "rollout-2"
    plane, time = MemoryPlane(view()), clock()
    judge = Judge(plane, clock=time, background=Background())
    await judge.follow(topic((*active(), rollout(id=other))), on_ready=lambda: None)
    plane.refused = {ROLLOUT}

    await judge.look_at_all()
    plane.answer = view(watermark_ms=AT_MS)
    await judge.look_at_all()
    time.advance(seconds=5.0)
    plane.refused = set()
    await judge.look_at_all()

    assert plane.looks == [2, 1, 2]
    assert [rollout_id for rollout_id, _ in plane.measurements] == [other, other, ROLLOUT, other]
    assert judge.failed_looks == 1


async def test_a_warm_candidate_is_reported_as_soon_as_it_is_ready() -> None:
    plane = MemoryPlane(view())
    judge = await judge_of(plane, clock(), phase="warming", step=None, epoch=None, applied_at=None)

    await judge.look_at_all()

    assert [report.ready_instances for _, report in plane.warm_ups] == [1]


async def test_a_part_that_is_away_is_asked_again_later_and_less_often() -> None:
    plane, time = MemoryPlane(view()), clock()
    judge = await judge_of(plane, time)
    plane.is_away = True

    for _ in range(100):
        await judge.look_at_all()
        time.advance(seconds=0.25)
    looked_while_away = judge.failed_looks
    plane.is_away = False
    time.advance(seconds=5.0)
    await judge.look_at_all()

    assert 4 <= looked_while_away <= 12
    assert len(plane.measurements) == 1


async def test_a_step_whose_view_never_comes_is_told_so_that_it_ends() -> None:
    plane, time = MemoryPlane(view(watermark_ms=None, freshness="no_data")), clock()
    judge = await judge_of(plane, time)

    for _ in range(8):
        await judge.look_at_all()
        time.advance(seconds=0.25)

    assert [measurement.elapsed_ms for _, measurement in plane.measurements] == [60_000, 61_000]
    assert {measurement.freshness for _, measurement in plane.measurements} == {"late"}


async def test_a_step_whose_view_is_away_is_told_though_the_view_is_asked_ever_less_often() -> None:
    plane, time = MemoryPlane(view()), clock()
    judge = await judge_of(plane, time)
    plane.is_view_away = True

    for _ in range(100):
        await judge.look_at_all()
        time.advance(seconds=0.25)

    assert 5 <= len(plane.measurements) <= 12
    assert plane.measurements[-1][1].elapsed_ms > 75_000


async def test_nothing_is_remembered_of_a_rollout_that_is_over() -> None:
    plane, time = MemoryPlane(view()), clock()
    judge = await judge_of(plane, time)
    plane.is_away = True
    await judge.look_at_all()

    await judge.follow(topic((), (rollout(position=11, phase="aborted"),)), on_ready=lambda: None)
    await judge.look_at_all()

    assert [name for name, kept in vars(judge).items() if isinstance(kept, dict) and ROLLOUT in kept] == []


async def test_what_comes_later_changes_the_picture() -> None:
    later = (rollout(position=11, step=1, epoch=7), rollout(position=12, id="rollout-2", phase="warming", step=None))

    judge = await judge_of(MemoryPlane(view()), clock(), later)

    assert {key: each.rollout.step for key, each in judge.rollouts.items()} == {ROLLOUT: 1, "rollout-2": None}
    assert judge.position == 12


QUESTION = MeasureEpochOf(
    endpoint=ENDPOINT, epoch=5, candidate="blue", baseline="green", latency_threshold_ms=2.5, truncation=True
)
ANSWER = msgspec.json.encode(Results(items=[Result(answer=view())]))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "service.token"
    path.write_text("rb_secret\n")
    return path


def plane_of(answer: Callable[[httpx.Request], httpx.Response], token_file: Path) -> ControlPlane:
    return ControlPlane("http://api", token_file=token_file, transport=httpx.MockTransport(answer))


async def test_rollouts_of_each_workspace_are_looked_at_in_it() -> None:
    plane = MemoryPlane(view())
    judge = Judge(plane, clock=clock(), background=Background())
    elsewhere = [msgspec.structs.replace(rollout(id=f"rollout-{name}"), workspace=name) for name in ("acme", "acme-eu")]
    await judge.follow(topic((*active(), *elsewhere)), on_ready=lambda: None)

    await judge.look_at_all()

    assert plane.looks == [1, 1, 1]
    assert sorted(plane.workspaces) == ["acme", "acme", "acme-eu", "acme-eu", "default", "default"]
    assert len(plane.measurements) == 3


async def test_a_call_names_the_workspace_that_it_is_bound_to(token_file: Path) -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(WORKSPACE_HEADER))
        return httpx.Response(200, content=msgspec.json.encode(Results(items=[Result(answer=view())])))

    plane = plane_of(answer, token_file)
    await plane.within("acme").look([QUESTION])
    await plane.look([QUESTION])
    await plane.close()

    assert seen == ["acme", None]


async def test_one_question_that_is_refused_fails_no_other(token_file: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content, type=MeasureEpochs).items
        if any(each.epoch == 3 for each in asked):
            return httpx.Response(413, content=b"{}")
        return httpx.Response(200, content=msgspec.json.encode(Results(items=[Result(answer=view()) for _ in asked])))

    plane = plane_of(answer, token_file)
    questions = [msgspec.structs.replace(QUESTION, epoch=epoch) for epoch in range(5)]

    results = await plane.look(questions)
    await plane.close()

    assert [result.problem is None for result in results] == [True, True, True, False, True]


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (503, b"{}", PartAwayError),
        (200, b"<html>", PartAwayError),
        (200, b'{"items": []}', PartAwayError),
        (429, b"{}", PartAwayError),
        (401, b"{}", RefusedError),
    ],
)
async def test_trouble_with_the_api_is_told_apart(
    token_file: Path, status: int, content: bytes, expected: type[Exception]
) -> None:
    plane = plane_of(lambda _: httpx.Response(status, content=content), token_file)

    with pytest.raises(expected):
        await plane.look([QUESTION])
    await plane.close()


async def test_a_connection_that_fails_is_a_part_that_is_away(token_file: Path) -> None:
    def failing(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    plane = plane_of(failing, token_file)

    with pytest.raises(PartAwayError, match="refused"):
        await plane.look([QUESTION])
    await plane.close()


async def test_every_call_carries_the_token_that_is_good_now(token_file: Path) -> None:
    seen: list[httpx.Request] = []

    def keeping(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=ANSWER)

    plane = plane_of(keeping, token_file)
    await plane.look([QUESTION])
    token_file.write_text("rb_another")
    await plane.look([QUESTION])
    await plane.close()

    assert [each.headers["authorization"] for each in seen] == ["Bearer rb_secret", "Bearer rb_another"]
    assert seen[0].url.path == "/v1/measurements"


async def test_the_view_is_asked_in_words_that_the_api_reads(token_file: Path) -> None:
    asked: list[MeasureEpochs] = []

    def reading(request: httpx.Request) -> httpx.Response:
        asked.append(decode_body(request.content, MeasureEpochs))
        return httpx.Response(200, content=ANSWER)

    plane = plane_of(reading, token_file)
    await plane.look([QUESTION])
    await plane.close()

    assert asked == [MeasureEpochs(items=(QUESTION,))]


async def test_a_token_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    plane = plane_of(lambda _: httpx.Response(200), tmp_path / "missing.token")

    with pytest.raises(PartAwayError, match="No such file"):
        await plane.look([QUESTION])
    await plane.close()
