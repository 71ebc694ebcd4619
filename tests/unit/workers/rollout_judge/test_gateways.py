"""When a region with several gateways serves a step."""

from collections.abc import Sequence

import msgspec

from infra.background import Background
from schemas.documents.endpoints import ServingGateway, ServingRegion
from schemas.documents.records import StateRecord
from schemas.envelope import rfc3339
from schemas.events.endpoints import TrafficApplied
from schemas.events.rollouts import RegionAway
from tests.unit.workers.rollout_judge.pictures import (
    AT_MS,
    ENDPOINT,
    ROLLOUT,
    MemoryPlane,
    active,
    at,
    clock,
    later,
    picture,
    record,
    rollout,
    topic,
    view,
)
from workers.rollout_judge.judge import Judge
from workers.rollout_judge.regions import Endpoint
from workers.rollout_judge.state import Picture

SINCE = rfc3339(AT_MS - 3_000)
FAST, SLOW = "log-fast", "log-slow"


def gateway(name: str, *, epoch: int = 5, first_epoch: int = 2) -> ServingGateway:
    behind_since = None if epoch >= 5 else SINCE
    return ServingGateway(gateway_id=name, epoch=epoch, first_epoch=first_epoch, behind_since=behind_since)


def endpoint(
    gateways: Sequence[ServingGateway], *confirmed: tuple[str, int], first_epoch: int = 2, position: int = 11
) -> StateRecord:
    """Make the document of an endpoint of one region, whose gateways have confirmed epoch 5 at times in ms."""
    epoch = max(each.epoch for each in gateways)
    region = ServingRegion(
        region="us",
        epoch=epoch,
        first_epoch=first_epoch,
        behind_since=None if epoch >= 5 else SINCE,
        gateways=tuple(gateways),
    )
    applied = tuple(
        TrafficApplied(epoch=5, region="us", gateway_id=each, applied_at=rfc3339(at_ms)) for each, at_ms in confirmed
    )
    return record("endpoint", ENDPOINT, Endpoint(applied=applied, regions=(region,)), position=position)


HALF = endpoint([gateway(FAST), gateway(SLOW, epoch=3)], (FAST, AT_MS))
WHOLE = endpoint([gateway(FAST), gateway(SLOW)], (FAST, AT_MS), (SLOW, AT_MS + 9), position=12)


def known(*records: StateRecord) -> Picture:
    return picture(*active(applied_at=None), *records, moment=at(is_live=True))


def begun(known: Picture) -> tuple[int | None, float | None]:
    watched = known.rollouts[ROLLOUT]
    return (watched.applied_ms, watched.applied_s)


def hear(known: Picture, *gateways: str, seen_s: float = 130.0) -> None:
    known.hear(known.rollouts[ROLLOUT], frozenset(gateways), seen_s=seen_s, now_ms=AT_MS + 30_000)


def test_a_step_begins_when_the_last_gateway_of_a_region_serves_it() -> None:
    waiting = known(HALF)

    hear(waiting, FAST, SLOW)
    before, behind = begun(waiting), waiting.rollouts[ROLLOUT].behind
    waiting.take(later(WHOLE), at(seen_s=123.0, is_live=True))

    assert before == (None, None)
    assert [(each.region, each.epoch, each.behind_since) for each in behind] == [("us", 3, SINCE)]
    assert begun(waiting) == (AT_MS + 9, 123.0)
    assert waiting.rollouts[ROLLOUT].behind == ()


def test_until_the_view_says_which_gateways_are_alive_all_are_waited_for() -> None:
    assert begun(known(HALF)) == (None, None)
    assert begun(known(WHOLE)) == (AT_MS + 9, 100.0)


def test_a_gateway_that_is_gone_is_not_waited_for() -> None:
    waiting = known(HALF)

    hear(waiting, FAST, "log-of-another-region", seen_s=130.0)

    assert begun(waiting) == (AT_MS, 130.0)
    assert waiting.rollouts[ROLLOUT].behind == ()


def test_a_judge_that_starts_in_the_middle_of_a_step_times_it_from_when_it_began() -> None:
    restarted = picture(*active(applied_at=None), HALF)

    hear(restarted, FAST, seen_s=130.0)

    assert begun(restarted) == (AT_MS, 100.0)


def test_a_step_that_has_begun_does_not_wait_for_a_gateway_that_comes_back() -> None:
    waiting = known(HALF)
    hear(waiting, FAST, seen_s=130.0)

    hear(waiting, FAST, SLOW, seen_s=131.0)
    waiting.take(later(WHOLE), at(seen_s=132.0, is_live=True))

    assert begun(waiting) == (AT_MS, 130.0)


def test_the_last_gateways_of_a_region_are_waited_for_though_they_are_gone() -> None:
    waiting = known(endpoint([gateway(FAST, epoch=3), gateway(SLOW, epoch=3)]))

    hear(waiting)

    assert begun(waiting) == (None, None)
    assert [each.region for each in waiting.rollouts[ROLLOUT].behind] == ["us"]


def test_a_gateway_that_takes_the_place_of_a_lost_one_serves_the_region() -> None:
    waiting = known(endpoint([gateway(FAST, first_epoch=5), gateway(SLOW, epoch=3)], (FAST, AT_MS)))

    hear(waiting, FAST)

    assert begun(waiting) == (AT_MS, 130.0)


def test_the_beginning_of_a_step_does_not_move_when_a_gateway_joins_the_region() -> None:
    joined = endpoint([gateway(FAST), gateway(SLOW, first_epoch=5)], (FAST, AT_MS), (SLOW, AT_MS + 900))

    assert begun(known(joined)) == (AT_MS, 100.0)


def test_an_excused_region_is_not_waited_for_though_one_of_its_gateways_is_slow() -> None:
    away = RegionAway(region="us", epoch=3, since=SINCE, away_ms=60_000)

    assert begun(known(HALF, rollout(position=12, excused=(away,)))) == (AT_MS, 100.0)


def test_which_gateways_are_alive_is_asked_anew_for_each_step() -> None:
    waiting = known(HALF)
    hear(waiting, FAST)
    stepped = rollout(position=13, step=1, epoch=9)

    waiting.take(later(stepped), at(is_live=True))

    assert (begun(waiting), waiting.rollouts[ROLLOUT].gateways) == ((None, None), None)


def test_what_the_view_said_of_an_earlier_epoch_is_not_taken_for_the_current_one() -> None:
    waiting = known(HALF)
    watched = waiting.rollouts[ROLLOUT]
    asked = msgspec.structs.replace(watched, rollout=msgspec.structs.replace(watched.rollout, epoch=4))

    heard = waiting.hear(asked, frozenset({FAST}), seen_s=130.0, now_ms=AT_MS)

    assert (heard, begun(waiting)) == (asked, (None, None))


async def test_the_judge_waits_for_a_slow_gateway_until_the_view_no_longer_does() -> None:
    plane, time = MemoryPlane(view(gateways=(FAST, SLOW))), clock()
    judge = Judge(plane, clock=time, background=Background())
    await judge.follow(topic((), (*active(applied_at=None), HALF)), on_ready=lambda: None)

    time.advance(seconds=5.0)
    await judge.look_at_all()
    plane.answer = view(gateways=(FAST,))
    time.advance(seconds=2.0)
    await judge.look_at_all()
    time.advance(seconds=2.0)
    await judge.look_at_all()

    sent = [(each.has_begun, [away.region for away in each.away]) for _, each in plane.measurements]
    assert sent == [(False, ["us"]), (True, []), (True, [])]
    assert [each.lasted_ms for _, each in plane.measurements[1:]] == [0, 2_000]
