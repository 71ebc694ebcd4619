import msgspec
import pytest

from schemas.envelope import rfc3339
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceWithdrawn, TrafficApplied
from schemas.events.rollouts import (
    RolloutAborted,
    RolloutCompleted,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    StepStarted,
)
from tests.support.builders import CANDIDATE, rollout_started
from tests.unit.workers.rollout_judge.pictures import AT_MS, ENDPOINT, ROLLOUT, active, recorded, snapshot
from workers.rollout_judge.state import Rollouts, after_event, from_snapshot


def fold(rollouts: Rollouts, *events: tuple[str, msgspec.Struct]) -> Rollouts:
    for position, (stream, event) in enumerate(events, start=11):
        rollouts = after_event(rollouts, recorded(position, stream, event), event, seen_s=100.0)
    return rollouts


def known(**changes: object) -> Rollouts:
    return from_snapshot(snapshot(active(**changes)), seen_s=100.0)


def announced(deployment_id: str) -> InstanceAnnounced:
    return InstanceAnnounced(
        endpoint_id=ENDPOINT,
        deployment_id=deployment_id,
        agent_id="agent-1",
        boot_id="boot-1",
        host="127.0.0.1",
        port=9_000,
        region="local",
        zone="a",
    )


def applied(epoch: int, at_ms: int, region: str = "local") -> TrafficApplied:
    return TrafficApplied(epoch=epoch, region=region, gateway_id="gateway-1", applied_at=rfc3339(at_ms))


def test_a_rollout_of_the_snapshot_has_been_warming_since_its_start() -> None:
    assert known()[ROLLOUT].started_s == 10.0


def test_a_rollout_that_starts_is_watched_from_then_on() -> None:
    watched = fold({}, (ROLLOUT, rollout_started(replicas=2)))[ROLLOUT]

    assert (watched.phase, watched.replicas, watched.candidate, watched.started_s) == ("warming", 2, CANDIDATE, 100.0)


def test_a_step_is_not_applied_before_the_gateways_say_so() -> None:
    step = StepStarted(step=1, weight_percent=25.0, epoch=7, reason="good")

    before = fold(known(), (ROLLOUT, step))
    after = fold(before, (ENDPOINT, applied(7, AT_MS)))

    assert (before[ROLLOUT].step, before[ROLLOUT].epoch, before[ROLLOUT].applied_ms) == (1, 7, None)
    assert after[ROLLOUT].applied_ms == AT_MS


@pytest.mark.parametrize(("stream", "epoch"), [(ENDPOINT, 4), ("endpoint-2", 5)])
def test_another_epoch_or_endpoint_being_applied_means_nothing(stream: str, epoch: int) -> None:
    assert fold(known(applied_at=None), (stream, applied(epoch, AT_MS)))[ROLLOUT].applied_ms is None


def test_time_is_counted_from_the_last_region() -> None:
    regions = (ENDPOINT, applied(5, AT_MS + 9, "b")), (ENDPOINT, applied(5, AT_MS + 3, "c"))

    assert fold(known(), *regions)[ROLLOUT].applied_ms == AT_MS + 9


def test_instances_of_the_candidate_come_and_go() -> None:
    gone = InstanceWithdrawn(endpoint_id=ENDPOINT, deployment_id=CANDIDATE, reason="drain")

    more = fold(known(), ("instance-2", announced(CANDIDATE)), ("instance-3", announced("deployment-other")))
    fewer = fold(more, ("instance-1", gone))

    assert more[ROLLOUT].instances == {"instance-1", "instance-2"}
    assert fewer[ROLLOUT].instances == {"instance-2"}


def test_an_instance_that_was_given_up_is_a_failure_of_the_candidate() -> None:
    failed = InstanceFailed(
        endpoint_id=ENDPOINT, deployment_id=CANDIDATE, agent_id="agent-1", code="wrong-digest", reason="it differs"
    )

    watched = fold(known(), ("instance-1", failed))[ROLLOUT]

    assert (watched.instances, watched.failure) == (frozenset(), "wrong-digest: it differs")


def test_phases_follow_the_log() -> None:
    paused = fold(known(), (ROLLOUT, RolloutPaused(step=0, reason="wait")))
    resumed = fold(paused, (ROLLOUT, RolloutResumed(step=0, reason="go on")))
    baking = fold(resumed, (ROLLOUT, RolloutPromoted(epoch=8, reason="good")))

    assert [each[ROLLOUT].phase for each in (paused, resumed, baking)] == ["paused", "stepping", "baking"]


@pytest.mark.parametrize("end", [RolloutCompleted(reason="done"), RolloutAborted(step=0, epoch=6, reason="bad")])
def test_a_rollout_that_is_over_is_forgotten(end: msgspec.Struct) -> None:
    assert fold(known(), (ROLLOUT, end)) == {}


def test_an_event_that_the_snapshot_shows_already_changes_only_when_it_was_seen() -> None:
    step = StepStarted(step=0, weight_percent=5.0, epoch=5, reason="warm")

    again = fold(known(), (ROLLOUT, step), (ENDPOINT, applied(5, AT_MS - 60_000)))

    assert again[ROLLOUT] == msgspec.structs.replace(known()[ROLLOUT], applied_s=100.0)
