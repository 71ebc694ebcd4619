"""What commands do to the rollout and its endpoint together, and what holds after any sequence of them."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.endpoints.deployments.handlers import add_deployment, remove_deployment
from control_plane.endpoints.deployments.requests import AddDeploymentRequest, RemoveDeploymentRequest
from control_plane.endpoints.errors import DeploymentNotReadyError, EndpointOwnedByRolloutError
from control_plane.endpoints.handlers import load_endpoint
from control_plane.endpoints.instances.handlers import fail_instance, withdraw_instance
from control_plane.endpoints.resources import ENDPOINTS
from control_plane.endpoints.traffic.buckets import weights_of
from control_plane.endpoints.traffic.commands import ConfirmTraffic
from control_plane.endpoints.traffic.handlers import confirm_traffic, set_traffic
from control_plane.endpoints.traffic.requests import SetTrafficRequest, Weight
from control_plane.errors import RollbookError
from control_plane.ports import Reply, UnitOfWork
from control_plane.rollouts import handlers
from control_plane.rollouts.commands import (
    AbortRollout,
    Command,
    PauseRollout,
    PromoteRollout,
    ReportWarmUp,
    ResumeRollout,
)
from control_plane.rollouts.handlers import rollback_endpoint
from control_plane.rollouts.queries import get_rollout
from control_plane.rollouts.requests import RollbackRequest
from control_plane.rollouts.resources import ROLLOUTS, JudgedResource
from infra.kafka.serving_state import Documents
from schemas.documents.rollouts import Rollout
from schemas.envelope import unix_ms
from schemas.events.endpoints import BUCKETS, TrafficShifted
from schemas.events.rollouts import RolloutAborted, StepJudged, StepStarted
from schemas.identifiers import Kind
from schemas.instances import FailInstance, WithdrawInstance
from tests.support.builders import HEALTHY, THIN, WRONG, measurement
from tests.support.documents import documents_of
from tests.support.memory_log import MemoryLog
from tests.support.serving import announce, begin, endpoint_in, rollout_in, serving_log
from tests.support.spec import BEGAN_MS, WORKSPACE
from workers.rollout_judge.state import Moment, Picture, Rollouts

WARM = ReportWarmUp(ready_instances=1, elapsed_ms=100)


def send(log: MemoryLog, rollout: Rollout, command: Command) -> Rollout:
    return rollout_in(log.run(lambda unit: handlers.command_rollout(unit, rollout.id, command)))


def look(log: MemoryLog, rollout: Rollout, **changes: object) -> JudgedResource:
    """Send a measurement of the step that the rollout is in."""
    now = get_rollout(log.catalogue, rollout.id, workspace=WORKSPACE)
    fields = {"step": now.step or 0, "epoch": now.epoch or 0, "watermark_ms": log.now_ms, **changes}
    request = measurement(**fields)
    reply = log.run(lambda unit: handlers.report_measurement(unit, rollout.id, request))
    return msgspec.json.decode(reply.body, type=JudgedResource)


def weights(log: MemoryLog, rollout: Rollout) -> dict[str, float]:
    return weights_of(log.load(ENDPOINTS, rollout.endpoint_id).state.traffic.allocations)


def _withdraw(log: MemoryLog, instance_id: str) -> None:
    gone = WithdrawInstance(reason="the host is gone")
    log.run(lambda unit: withdraw_instance(unit, instance_id, gone, expected_version=None))


def _roll_back(log: MemoryLog, *, epoch: int | None = None) -> Reply:
    back = RollbackRequest(reason="alarms", epoch=epoch)
    return log.run(lambda unit: rollback_endpoint(unit, "digits", back, expected_version=None))


def _give_everything_to(log: MemoryLog, deployment_id: str) -> int:
    whole = SetTrafficRequest(weights=(Weight(deployment_id=deployment_id, weight_percent=100.0),))
    reply = log.run(lambda unit: set_traffic(unit, "digits", whole, expected_version=None))
    return endpoint_in(reply).epoch or 0


def test_a_healthy_candidate_takes_over_step_by_step() -> None:
    log = serving_log()
    rollout = begin(log)
    baseline, candidate = rollout.baseline_deployment_id, rollout.candidate_deployment_id

    send(log, rollout, WARM)
    seen = [weights(log, rollout)]
    for decision in ("advance", "advance", "promote", "complete"):
        assert look(log, rollout).decision == decision
        seen.append(weights(log, rollout))

    assert seen == [
        {baseline: 95.0, candidate: 5.0},
        {baseline: 75.0, candidate: 25.0},
        {baseline: 50.0, candidate: 50.0},
        {candidate: 100.0},
        {candidate: 100.0},
    ]
    endpoint = log.load(ENDPOINTS, rollout.endpoint_id).state
    assert endpoint.traffic.owner is None
    assert [each.deployment_id for each in endpoint.deployments.present] == [candidate]


def test_every_step_names_the_traffic_event_it_caused() -> None:
    log = serving_log()
    rollout = begin(log)

    send(log, rollout, WARM)
    for _ in range(4):
        look(log, rollout)

    shifts = {
        context.version: event
        for stream, event, context in log.events
        if stream == rollout.endpoint_id and isinstance(event, TrafficShifted)
    }
    steps = [event for event in log.of(rollout.id) if isinstance(event, StepStarted)]
    assert [shifts[step.epoch].step for step in steps] == [0, 1, 2, 3]
    assert {shifts[step.epoch].rollout_id for step in steps} == {rollout.id}


def test_a_wrong_candidate_is_aborted_and_the_baseline_serves_all_in_the_same_command() -> None:
    log = serving_log()
    rollout = begin(log)
    send(log, rollout, WARM)

    judged = look(log, rollout, counts=WRONG, elapsed_ms=1)

    assert (judged.decision, judged.phase) == ("abort", "aborted")
    assert weights(log, rollout) == {rollout.baseline_deployment_id: 100.0}
    aborted = log.of(rollout.id)[-1]
    assert isinstance(aborted, RolloutAborted)
    endpoint = log.load(ENDPOINTS, rollout.endpoint_id).state
    assert endpoint.traffic.epoch == aborted.epoch
    assert endpoint.traffic.owner is None
    assert [each.deployment_id for each in endpoint.deployments.present] == [rollout.baseline_deployment_id]


def test_an_abort_before_any_traffic_moved_sets_no_traffic() -> None:
    log = serving_log()
    rollout = begin(log)
    before = log.load(ENDPOINTS, rollout.endpoint_id).state.traffic.epoch

    send(log, rollout, AbortRollout(reason="not today"))

    endpoint = log.load(ENDPOINTS, rollout.endpoint_id).state
    assert (endpoint.traffic.epoch, endpoint.traffic.owner, len(endpoint.deployments.present)) == (before, None, 1)


def test_what_decides_nothing_writes_nothing_and_says_what_it_saw() -> None:
    log = serving_log()
    rollout = begin(log)
    send(log, rollout, WARM)
    before = len(log.events)

    judged = look(log, rollout, counts=THIN)

    assert len(log.events) == before
    assert judged.decision == "none"
    assert [verdict.outcome for verdict in judged.verdicts] == ["too_little_data"] * 4


@pytest.mark.parametrize("counts", [HEALTHY, WRONG])
def test_of_two_judges_with_the_same_measurement_only_the_first_decides(counts: tuple[msgspec.Struct, ...]) -> None:
    log = serving_log()
    rollout = begin(log)
    warm = send(log, rollout, WARM)
    same = {"step": warm.step, "epoch": warm.epoch, "watermark_ms": BEGAN_MS + 1, "counts": counts}

    first, second = look(log, rollout, **same), look(log, rollout, **same)

    assert first.decision in {"advance", "abort"}
    assert second.decision == "none"
    assert sum(isinstance(event, StepJudged) for event in log.of(rollout.id)) == 1


def test_traffic_is_not_set_by_hand_while_a_rollout_owns_the_endpoint() -> None:
    log = serving_log()
    rollout = begin(log)
    by_hand = SetTrafficRequest(weights=(Weight(deployment_id=rollout.baseline_deployment_id, weight_percent=100.0),))

    with pytest.raises(EndpointOwnedByRolloutError, match=rollout.id):
        log.run(lambda unit: set_traffic(unit, rollout.endpoint_id, by_hand, expected_version=None))


def test_a_rollback_aborts_the_active_rollout() -> None:
    log = serving_log()
    rollout = begin(log)
    send(log, rollout, WARM)

    reply = _roll_back(log)

    assert weights(log, rollout) == {rollout.baseline_deployment_id: 100.0}
    assert endpoint_in(reply).active_rollout_id is None
    assert get_rollout(log.catalogue, rollout.id, workspace=WORKSPACE).reason == "the endpoint is rolled back: alarms"


@pytest.mark.parametrize(
    "abort", [lambda log, rollout: look(log, rollout, counts=WRONG), lambda log, _: _roll_back(log)]
)
def test_no_abort_waits_for_an_instance_of_the_baseline(abort: Callable[[MemoryLog, Rollout], object]) -> None:
    log = serving_log()
    rollout = begin(log)
    send(log, rollout, WARM)
    for row in log.catalogue.find(Kind.INSTANCE, workspace=WORKSPACE):
        _withdraw(log, row.id)

    abort(log, rollout)

    assert get_rollout(log.catalogue, rollout.id, workspace=WORKSPACE).phase == "aborted"
    assert weights(log, rollout) == {rollout.baseline_deployment_id: 100.0}


def test_a_rollback_to_an_epoch_that_no_instance_can_serve_changes_nothing() -> None:
    log = serving_log()
    add = AddDeploymentRequest(version="digits/3")
    log.run(lambda unit: add_deployment(unit, "digits", add, expected_version=None))
    first, third = load_endpoint(log, "digits").state.deployments.present
    instance = announce(log, load_endpoint(log, "digits").state.id, third.deployment_id)
    epoch = _give_everything_to(log, third.deployment_id)
    _give_everything_to(log, first.deployment_id)
    _withdraw(log, instance)
    rollout = begin(log)
    send(log, rollout, WARM)
    before = len(log.events)

    with pytest.raises(DeploymentNotReadyError, match=third.deployment_id):
        _roll_back(log, epoch=epoch)

    assert len(log.events) == before
    assert get_rollout(log.catalogue, rollout.id, workspace=WORKSPACE).phase == "stepping"


def test_an_endpoint_is_free_for_the_next_rollout_after_an_abort() -> None:
    log = serving_log()
    send(log, begin(log), AbortRollout(reason="stop"))

    assert begin(log, version="digits/3").phase == "warming"


def test_the_documents_show_the_judge_when_the_step_was_applied_and_who_is_ready() -> None:
    log = serving_log()
    rollout = begin(log)
    instance = announce(log, rollout.endpoint_id, rollout.candidate_deployment_id)
    warm = send(log, rollout, WARM)
    applied = ConfirmTraffic(
        epoch=warm.epoch or 0, region="local", gateway_id="gateway-1", applied_at="2026-01-02T03:04:05.678Z"
    )
    log.run(lambda unit: confirm_traffic(unit, rollout.endpoint_id, applied, expected_version=None))

    watched = seen_by_the_judge(log)[rollout.id]

    assert (watched.rollout.phase, watched.applied_ms) == ("stepping", unix_ms("2026-01-02T03:04:05.678Z"))
    assert (watched.instances, watched.failure) == (frozenset({instance}), None)


def test_the_documents_show_the_judge_that_an_instance_was_given_up() -> None:
    log = serving_log()
    rollout = begin(log)
    failure = FailInstance(
        endpoint_id=rollout.endpoint_id,
        deployment_id=rollout.candidate_deployment_id,
        agent_id="agent-1",
        code="wrong-digest",
        reason="the file differs",
    )
    instance = log.new_id(Kind.INSTANCE)
    log.run(lambda unit: fail_instance(unit, instance, failure, expected_version=None))

    watched = seen_by_the_judge(log)[rollout.id]

    assert (watched.instances, watched.failure) == (frozenset(), "wrong-digest: the file differs")


def seen_by_the_judge(log: MemoryLog) -> Rollouts:
    picture = Picture()
    documents = Documents(records=tuple(documents_of(log.rows.values())), is_all=True)
    picture.take(documents, Moment(seen_s=0.0, now_ms=BEGAN_MS, is_live=False))
    return picture.rollouts


Deed = Callable[[MemoryLog], object]


def _on_last(command: Command) -> Deed:
    def deed(log: MemoryLog) -> object:
        rollout = _last_rollout(log)
        return rollout and send(log, rollout, command)

    return deed


def _look(**changes: object) -> Deed:
    def deed(log: MemoryLog) -> object:
        rollout = _last_rollout(log)
        return rollout and look(log, rollout, **changes)

    return deed


def _start(version: str) -> Deed:
    def deed(log: MemoryLog) -> object:
        rollout = begin(log, version=version)
        return announce(log, rollout.endpoint_id, rollout.candidate_deployment_id)

    return deed


def _endpoint(action: Callable[[UnitOfWork], Reply]) -> Deed:
    return lambda log: log.run(action)


def _split_evenly(unit: UnitOfWork) -> Reply:
    endpoint = load_endpoint(unit, "digits").state
    share = 100 / len(endpoint.deployments.present)
    even = tuple(
        Weight(deployment_id=each.deployment_id, weight_percent=share) for each in endpoint.deployments.present
    )
    return set_traffic(unit, "digits", SetTrafficRequest(weights=even), expected_version=None)


def _remove_first(unit: UnitOfWork) -> Reply:
    first = load_endpoint(unit, "digits").state.deployments.present[0].deployment_id
    request = RemoveDeploymentRequest(reason="tidy")
    return remove_deployment(unit, "digits", first, request, expected_version=None)


DEEDS: dict[str, Deed] = {
    "start 2": _start("digits/2"),
    "start 3": _start("digits/3"),
    "warm": _on_last(WARM),
    "cold": _on_last(ReportWarmUp(ready_instances=0, elapsed_ms=10**6)),
    "healthy": _look(),
    "wrong": _look(counts=WRONG),
    "undecided": _look(counts=THIN, elapsed_ms=10**6),
    "late": _look(freshness="late", lag_ms=60_000),
    "stray": _look(epoch=1),
    "pause": _on_last(PauseRollout(reason="wait")),
    "resume": _on_last(ResumeRollout(reason="go on")),
    "promote": _on_last(PromoteRollout(reason="sure")),
    "abort": _on_last(AbortRollout(reason="stop")),
    "rollback": _endpoint(
        lambda unit: rollback_endpoint(unit, "digits", RollbackRequest(reason="alarms"), expected_version=None)
    ),
    "add": _endpoint(
        lambda unit: add_deployment(unit, "digits", AddDeploymentRequest(version="digits/3"), expected_version=None)
    ),
    "split": _endpoint(_split_evenly),
    "remove": _endpoint(_remove_first),
}


def _rollouts(log: MemoryLog) -> list[Rollout]:
    rows = log.catalogue.find(Kind.ROLLOUT, workspace=WORKSPACE, limit=1_000)
    return [get_rollout(log.catalogue, row.id, workspace=WORKSPACE) for row in rows]


def _last_rollout(log: MemoryLog) -> Rollout | None:
    rollouts = _rollouts(log)
    return rollouts[-1] if rollouts else None


@settings(max_examples=120)
@given(st.lists(st.sampled_from(sorted(DEEDS)), max_size=25))
def test_after_any_commands_the_laws_of_rollouts_hold(names: list[str]) -> None:
    log = serving_log()
    over: dict[str, str] = {}

    for name in names:
        try:
            DEEDS[name](log)
        except RollbookError:
            continue

        rollouts = _rollouts(log)
        endpoint = log.load(ENDPOINTS, log.catalogue.id_of(Kind.ENDPOINT, "digits", workspace=WORKSPACE) or "").state
        active = [each.id for each in rollouts if each.phase not in {"completed", "aborted"}]
        pieces = sorted((part.start, part.end) for each in endpoint.traffic.allocations for part in each.ranges)
        assert active == ([endpoint.traffic.owner] if endpoint.traffic.owner else []), (
            "at most one rollout, and it owns the endpoint"
        )
        assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])], "ranges tile"
        assert pieces[-1][1] == BUCKETS
        assert all(endpoint.deployments.find(each.deployment_id) for each in endpoint.traffic.allocations), (
            "who serves exists"
        )
        assert all(over.get(each.id, each.phase) == each.phase for each in rollouts), "what is over stays over"
        over |= {each.id: each.phase for each in rollouts if each.id not in active}

    for stream in {name for name, _, _ in log.events}:
        aggregate = {"rollout": ROLLOUTS, "endpoint": ENDPOINTS}.get(stream.split("-", 1)[0])
        if aggregate is not None:
            assert log.replayed(aggregate, stream) == log.load(aggregate, stream).state  # type: ignore[arg-type]
