"""What a rollout, or a command to one, is refused for, each with the field and the remedy; a refusal leaves nothing."""

import pytest

from control_plane.endpoints.assignment.commands import ChooseAssignmentKey
from control_plane.endpoints.assignment.handlers import choose_assignment_key
from control_plane.endpoints.commands import CreateEndpoint
from control_plane.endpoints.errors import EndpointNotFoundError, StaleVersionError, VersionNotFoundError
from control_plane.endpoints.handlers import create_endpoint
from control_plane.endpoints.instances.handlers import withdraw_instance
from control_plane.endpoints.resources import ENDPOINTS
from control_plane.errors import RollbookError
from control_plane.rollouts import errors
from control_plane.rollouts.commands import AbortRollout
from control_plane.rollouts.handlers import command_rollout, start_rollout
from control_plane.rollouts.resources import ROLLOUTS
from control_plane.web.bodies import InvalidBodyError
from schemas.events.endpoints import AssignmentKey, DeploymentAdded, EndpointReserved
from schemas.events.rollouts import CallerErrorRateGate, ErrorRateGate, QualityGate, RolloutStarted
from schemas.identifiers import Kind
from schemas.instances import WithdrawInstance
from tests.support.builders import GATES, canary
from tests.support.memory_log import MemoryLog
from tests.support.serving import begin, log_with_versions, rollout_request, serving_log


def refusal(log: MemoryLog, expected: type[RollbookError], **changes: object) -> RollbookError:
    before = len(log.events)
    with pytest.raises(expected) as caught:
        begin(log, **changes)
    assert len(log.events) == before, "a refused command leaves no event"
    assert caught.value.remedy
    return caught.value


def test_one_command_reserves_the_endpoint_and_adds_the_candidate() -> None:
    log = serving_log()

    rollout = begin(log, replicas=2)

    reserved, added = log.of(rollout.endpoint_id)[-2:]
    (started,) = log.of(rollout.id)
    assert reserved == EndpointReserved(rollout_id=rollout.id)
    assert isinstance(added, DeploymentAdded)
    assert (added.deployment_id, added.version.number) == (rollout.candidate_deployment_id, 2)
    assert isinstance(started, RolloutStarted)
    assert (started.replicas, rollout.phase) == (2, "warming")


def test_a_plan_that_limits_errors_limits_caller_errors_alike_unless_it_says_otherwise() -> None:
    own = CallerErrorRateGate(max_increase=0.5, min_requests=1)

    implied, given, without = (begin(serving_log(), gates=gates).gates for gates in (GATES, (*GATES, own), (GATES[1],)))

    assert implied == (GATES[0], CallerErrorRateGate(max_increase=0.05, min_requests=50), *GATES[1:])
    assert given == (*GATES, own)
    assert without == (GATES[1],)


def test_where_callers_stay_on_a_version_their_errors_are_only_compared_if_the_plan_says_so() -> None:
    log = serving_log()
    command = ChooseAssignmentKey(key=AssignmentKey(claim="sub"), reason="a customer keeps its version")
    log.run(lambda unit: choose_assignment_key(unit, "digits", command, expected_version=None))

    assert begin(log).gates == GATES


def test_the_version_that_is_live_is_refused() -> None:
    error = refusal(serving_log(), errors.VersionAlreadyLiveError, version="digits/1")

    assert (error.code, error.field) == ("version-already-live", "version")
    assert error.detail == "version digits/1 already serves 100 % of endpoint digits"


def test_a_second_rollout_is_refused_while_one_is_active() -> None:
    log = serving_log()
    first = begin(log)

    error = refusal(log, errors.RolloutActiveError, version="digits/3")

    assert first.id in error.detail
    assert (error.code, error.field) == ("rollout-active", "endpoint")


def test_an_endpoint_that_serves_nothing_has_no_baseline() -> None:
    log = log_with_versions(1, 2)
    empty = CreateEndpoint(name="digits")
    log.run(lambda unit: create_endpoint(unit, empty, expected_version=None))

    assert refusal(log, errors.NoBaselineError).field == "endpoint"


def test_a_baseline_without_a_ready_instance_is_refused() -> None:
    log = serving_log()
    (instance,) = [row.id for row in log.rows.values() if row.kind is Kind.INSTANCE]
    gone = WithdrawInstance(reason="gone")
    log.run(lambda unit: withdraw_instance(unit, instance, gone, expected_version=None))

    assert refusal(log, errors.BaselineNotReadyError).field == "endpoint"


@pytest.mark.parametrize("version", ["digits/9", "letters/1", "digits", "digits/x", "digits/-1", "/1"])
def test_an_unknown_version_is_refused(version: str) -> None:
    assert refusal(serving_log(), VersionNotFoundError, version=version).field == "version"


def test_an_unknown_endpoint_is_refused() -> None:
    assert refusal(serving_log(), EndpointNotFoundError, endpoint="letters").field == "endpoint"


def test_a_stale_picture_of_the_endpoint_is_refused() -> None:
    log = serving_log()

    with pytest.raises(StaleVersionError):
        log.run(lambda unit: start_rollout(unit, rollout_request(), expected_version=2))


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"strategy": canary(5, 5, 100)}, "strategy.steps[1].weight_percent", "do not increase"),
        ({"strategy": canary(50, 25, 100)}, "strategy.steps[1].weight_percent", "do not increase"),
        ({"strategy": canary(5, 50)}, "strategy.steps[1].weight_percent", "not 100 %"),
        ({"strategy": canary(100)}, "strategy.steps", "2 to 50 steps"),
        ({"strategy": canary(0, 100)}, "strategy.steps[0].weight_percent", "not a valid step weight"),
        ({"strategy": canary(0.001, 100)}, "strategy.steps[0].weight_percent", "not a valid step weight"),
        ({"strategy": canary(5, 100, min_ms=-1)}, "strategy.steps[0].min_duration_ms", "-1 ms"),
        ({"strategy": canary(5, 100, min_ms=10, max_ms=9)}, "strategy.steps[0].max_duration_ms", "between 10 and 9"),
        ({"strategy": canary(5, 100, bake_ms=-1)}, "strategy.bake_time_ms", "-1 ms"),
        ({"gates": []}, "gates", "at least one gate"),
        ({"gates": [GATES[0], GATES[0]]}, "gates[1]", "two gates of kind error_rate"),
        ({"gates": [GATES[0], ErrorRateGate(max_increase=2, min_requests=1)]}, "gates[1]", "two gates"),
        (
            {"gates": [GATES[0], QualityGate(feedback_name="label", max_drop=2, min_labels=1)]},
            "gates[1].max_drop",
            "not a share",
        ),
        *(
            (
                {"gates": [QualityGate(feedback_name=name, max_drop=0.1, min_labels=1)]},
                "gates[0].feedback_name",
                "no feedback can be called",
            )
            for name in ("", " ", "label ", "my label", "la\0bel", "label\n", "x" * 65)
        ),
        ({"alpha": 0}, "alpha", "not a valid error probability"),
        ({"alpha": 5e-324}, "alpha", "not a valid error probability"),
        ({"alpha": 0.6}, "alpha", "not a valid error probability"),
        ({"warm_up_timeout_ms": 0}, "warm_up_timeout_ms", "0 ms"),
        ({"max_lag_ms": 999}, "max_lag_ms", "999 ms"),
        ({"max_lag_ms": 3_600_001}, "max_lag_ms", "not a valid limit for the lag"),
        ({"replicas": 0}, "replicas", "0 instances"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_its_field(changes: dict[str, object], field: str, words: str) -> None:
    error = refusal(serving_log(), RollbookError, **changes)

    assert error.field == field
    assert words in error.detail


@pytest.mark.parametrize(
    "body",
    [
        {"gate": []},
        {"gates": [{"kind": "error_rate", "max_increase": 0.1, "min_requests": 1, "max_drop": 1}]},
        {"gates": [{"kind": "vibes"}]},
        {"strategy": {"kind": "canary", "steps": [], "bake_time_ms": 1, "weights": []}},
        {"alpha": "small"},
    ],
)
def test_a_body_with_an_unknown_member_or_type_is_no_request(body: dict[str, object]) -> None:
    with pytest.raises(InvalidBodyError):
        rollout_request(**body)


@pytest.mark.parametrize("rollout_id", ["rollout-1", "endpoint-1", "nonsense"])
def test_a_rollout_that_does_not_exist_takes_no_command(rollout_id: str) -> None:
    stop = AbortRollout(reason="x")

    with pytest.raises(errors.RolloutNotFoundError):
        serving_log().run(lambda unit: command_rollout(unit, rollout_id, stop))


def test_the_catalogue_shows_the_rollout_and_its_endpoint() -> None:
    log = serving_log()

    rollout = begin(log)

    assert log.rows[rollout.id].parent_id == rollout.endpoint_id
    assert log.replayed(ROLLOUTS, rollout.id) == log.load(ROLLOUTS, rollout.id).state
    assert log.replayed(ENDPOINTS, rollout.endpoint_id).traffic.owner == rollout.id
