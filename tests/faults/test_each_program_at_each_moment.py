"""Each program is killed at each moment of a step; the rollout reaches the end that it would have reached."""

import asyncio
from collections.abc import Callable

import pytest

from infra.kafka.connection import KafkaConnection
from projections import rebuild
from rollbook import RollbookError
from rollbook.resources import Rollout
from rollbook_demo.evidence import check_provenance, verify_log
from rollbook_demo.traffic import Traffic
from schemas.envelope import unix_ms
from tests.support.digits_service import GATES, OVER_WITHIN_S, DigitsService, canary
from tests.support.eventually import eventually
from tests.support.history import faults_of
from tests.support.stack_history import SteadyWriter, history_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
KILLED = ("relay", "projections", "judge", "follower", "agent", "api", "clickhouse", "kafka", "engine")
STEP_MS, BAKE_MS = 4_000, 3_000
# The judge looks twice a second: a decision falls within about this time after the step may end.
NEARLY_MS = 500


def when_the_step_is_applied(service: DigitsService, rollout: Rollout) -> None:
    """Wait for the decision to set the first step's weights; the gateway takes them over in these milliseconds."""

    def begun() -> bool:
        seen = service.rollout(rollout.id)
        return seen is not None and seen.step is not None

    eventually(begun, "the first step began", within_s=OVER_WITHIN_S, poll_s=0.01)


def when_it_is_measured(service: DigitsService, rollout: Rollout) -> None:
    """Wait until the view has requests of the step, long before it may end."""
    _until_the_view_is(STEP_MS // 4, service, rollout)


def when_it_is_decided(service: DigitsService, rollout: Rollout) -> None:
    """Wait until the view has all but the last moment that the step must last."""
    _until_the_view_is(STEP_MS - NEARLY_MS, service, rollout)


def _until_the_view_is(into_the_step_ms: int, service: DigitsService, rollout: Rollout) -> None:
    epoch = service.until_step_is_applied(rollout.id, 0)
    applied = next(
        event.event["data"]["applied_at"]
        for event in service.rollbook.events(
            stream=rollout.endpoint_id, event_type="endpoints.TrafficApplied.v1", limit=1_000
        )
        if event.event["data"]["epoch"] == epoch
    )

    def has_come() -> bool:
        try:
            watermark = service.rollbook.endpoints.metrics(service.name).watermark.watermark_ms
        except RollbookError:
            return False
        return watermark is not None and watermark >= unix_ms(applied) + into_the_step_ms

    eventually(has_come, f"the view is {into_the_step_ms} ms into the step", within_s=OVER_WITHIN_S)


Moment = Callable[[DigitsService, Rollout], None]


@pytest.mark.parametrize("moment", [when_the_step_is_applied, when_it_is_measured, when_it_is_decided])
@pytest.mark.parametrize("killed", KILLED)
def test_the_rollout_reaches_its_end_though_a_program_dies(
    killed: str, moment: Moment, service: DigitsService, traffic: Traffic, writer: SteadyWriter
) -> None:
    rollout = _start(service)

    moment(service, rollout)
    _kill(service, rollout, killed)
    ended = service.until_over(rollout.id)
    progress, answers = traffic.finish()

    assert ended.phase == "completed", ended.reason
    assert progress.failed == 0, progress.failures
    provenance = check_provenance(service.rollbook, answers)
    assert (provenance.mismatches, provenance.unknown) == (0, 0)
    assert faults_of(history_of(service.stack, list(writer.acknowledged))) == []
    assert verify_log(service.stack.profile)["ok"]
    assert _is_rebuilt_equal(service)


def _start(service: DigitsService) -> Rollout:
    """Roll out the version that is good and not live: the better ones are the same model, registered twice."""
    live = {deployment.version for deployment in service.rollbook.endpoints.get(service.name).deployments}
    version = next(version for version in _good_versions(service) if version not in live)
    strategy = canary(50, step_ms=STEP_MS, bake_ms=BAKE_MS)
    return service.rollbook.rollouts.start(service.name, version, strategy=strategy, gates=list(GATES), replicas=2)


def _good_versions(service: DigitsService) -> tuple[str, str]:
    return service.versions[1], service.versions[3]


def _kill(service: DigitsService, rollout: Rollout, killed: str) -> None:
    if killed == "engine":
        service.stack.kill_engine(rollout.candidate_deployment_id)
    else:
        service.stack.kill(killed)


def _is_rebuilt_equal(service: DigitsService) -> bool:
    stack = service.stack
    return (
        asyncio.run(
            rebuild.run(
                connection=KafkaConnection(bootstrap=stack.kafka_bootstrap),
                clickhouse_url=stack.clickhouse_url,
                swap=False,
            )
        )
        == 0
    )
