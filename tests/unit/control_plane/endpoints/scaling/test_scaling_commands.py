"""Scaling commands, from handler to log: what is recorded, what is not, and what is told to who asks why."""

import msgspec
import pytest

from control_plane.endpoints.errors import InvalidScalingPolicyError
from control_plane.endpoints.failover.handlers import set_failover_policy
from control_plane.endpoints.failover.requests import FailoverPolicyBody, SetFailoverPolicyRequest
from control_plane.endpoints.scaling import handlers
from control_plane.endpoints.scaling.commands import SetScalingPolicy
from control_plane.endpoints.scaling.measurements import LastMeasurements
from control_plane.endpoints.scaling.requests import ReportLoadRequest, WakeDeploymentRequest
from control_plane.endpoints.scaling.resources import EndpointScaling, ScalingAnswer
from schemas.scaling import Load, LoadMeasurement, ScalingPolicy
from tests.support.memory_log import MemoryLog
from tests.support.serving import ENDPOINT, begin, endpoint_in, serving_log

FOLLOWING = ScalingPolicy(min_replicas=0, max_replicas=3, in_flight=4.0, cool_down_ms=0)


def choose(log: MemoryLog, policy: ScalingPolicy | None) -> str:
    request = SetScalingPolicy(policy=policy, reason="test")
    reply = log.run(lambda unit: handlers.set_scaling_policy(unit, ENDPOINT, request, expected_version=None))
    return endpoint_in(reply).deployments[0].id


def tell(log: MemoryLog, deployment_id: str, version: int, *, in_flight: float) -> ScalingAnswer:
    load = Load(in_flight=in_flight)
    measurement = LoadMeasurement(
        scaling_version=version,
        measured_at_ms=0,
        ready=1,
        now=load,
        highest=load,
        watched_ms=10**9,
        idle_ms=10**9,
        is_complete=True,
    )
    request = ReportLoadRequest(measurement=measurement)
    reply = log.run(lambda unit: handlers.report_load(unit, ENDPOINT, deployment_id, request))
    return msgspec.json.decode(reply.body, type=ScalingAnswer)


def version_of(log: MemoryLog) -> int:
    reply = log.run(lambda unit: handlers.explain_scaling(unit, ENDPOINT, last=LastMeasurements()))
    return msgspec.json.decode(reply.body, type=EndpointScaling).deployments[0].scaling_version


def test_the_second_of_two_autoscalers_is_too_late() -> None:
    log = serving_log()
    deployment_id = choose(log, FOLLOWING)
    version = version_of(log)

    first = tell(log, deployment_id, version, in_flight=11.0)
    second = tell(log, deployment_id, version, in_flight=11.0)

    assert (first.replicas, first.is_changed, first.code) == (3, True, "load-rose")
    assert (second.replicas, second.is_changed, second.code) == (3, False, "stale-measurement")


def test_one_that_is_awake_is_not_woken() -> None:
    log = serving_log()
    deployment_id = choose(log, FOLLOWING)
    request = WakeDeploymentRequest(reason="a request waits")

    reply = log.run(lambda unit: handlers.wake_deployment(unit, ENDPOINT, deployment_id, request))

    assert not msgspec.json.decode(reply.body, type=ScalingAnswer).is_changed


def test_a_policy_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(InvalidScalingPolicyError, match="contradict"):
        choose(serving_log(), ScalingPolicy(min_replicas=4, max_replicas=2, in_flight=1.0))
    with pytest.raises(InvalidScalingPolicyError, match="has no target"):
        choose(serving_log(), ScalingPolicy(max_replicas=2))


def test_nothing_is_taken_away_while_a_rollout_is_judged() -> None:
    log = serving_log()
    begin(log)
    deployment_id = choose(log, FOLLOWING)

    answer = tell(log, deployment_id, version_of(log), in_flight=0.0)

    assert (answer.replicas, answer.is_changed, answer.code) == (1, False, "kept-for-rollout")


def test_a_backup_does_not_sleep() -> None:
    log = serving_log()
    deployment_id = choose(log, FOLLOWING)
    backup = SetFailoverPolicyRequest(policy=FailoverPolicyBody(backup=deployment_id), reason="test")
    log.run(lambda unit: set_failover_policy(unit, ENDPOINT, backup, expected_version=None))

    answer = tell(log, deployment_id, version_of(log), in_flight=0.0)

    assert (answer.replicas, answer.is_changed, answer.code) == (1, False, "kept-as-backup")


def test_without_a_policy_replicas_are_as_they_were_added() -> None:
    log = serving_log()
    deployment_id = choose(log, FOLLOWING)
    tell(log, deployment_id, version_of(log), in_flight=11.0)

    choose(log, None)

    reply = log.run(lambda unit: handlers.explain_scaling(unit, ENDPOINT, last=LastMeasurements()))
    shown = msgspec.json.decode(reply.body, type=EndpointScaling)
    assert (shown.policy, shown.deployments[0].replicas) == (None, 1)
