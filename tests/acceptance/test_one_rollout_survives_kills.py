"""A canary under live traffic while every part of the stack but Envoy is killed: it ends as if nothing had happened."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from infra.kafka.connection import KafkaConnection
from projections import rebuild
from rollbook import Rollbook
from rollbook.resources import Rollout
from rollbook_demo.evidence import ProvenanceCheck, check_provenance, verify_log
from rollbook_demo.load import Progress
from tests.support.digits_service import GATES, DigitsService, canary, serve_digits
from tests.support.history import History, faults_of
from tests.support.stack import RunningStack
from tests.support.stack_history import SteadyWriter, history_of

AT_TWENTY_PERCENT = ("relay", "projections", "judge", "follower")
AT_FIFTY_PERCENT = ("agent", "api", "clickhouse", "kafka")
KILLS = (*AT_TWENTY_PERCENT, *AT_FIFTY_PERCENT, "engine")
STEP_MS, BAKE_MS = 8_000, 5_000
# Enough for the gates, and little enough that a slow machine restarts a part beside it.
REQUESTS_PER_S = 50.0


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What is left when the rollout is over and the traffic has stopped."""

    rollout: Rollout
    killed: tuple[str, ...]
    progress: Progress
    provenance: ProvenanceCheck
    history: History
    seconds: float


@pytest.fixture(scope="module")
def story(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Story:
    with stack.client() as rollbook:
        service = serve_digits(stack, rollbook, "survivor", directory=tmp_path_factory.mktemp("survivor"), replicas=2)
        return _tell(stack, rollbook, service)


def _tell(stack: RunningStack, rollbook: Rollbook, service: DigitsService) -> Story:
    began = time.monotonic()
    with SteadyWriter(stack, "steady") as writer, service.traffic(requests_per_s=REQUESTS_PER_S) as traffic:
        strategy = canary(20, 50, step_ms=STEP_MS, bake_ms=BAKE_MS)
        started = rollbook.rollouts.start(
            service.name, service.versions[1], strategy=strategy, gates=list(GATES), replicas=2
        )
        killed = tuple(_kill_all(service, started))
        ended = service.until_over(started.id)
        progress, answers = traffic.finish()
    return Story(
        rollout=ended,
        killed=killed,
        progress=progress,
        provenance=check_provenance(rollbook, answers),
        history=history_of(stack, writer.acknowledged),
        seconds=time.monotonic() - began,
    )


def _kill_all(service: DigitsService, rollout: Rollout) -> Iterator[str]:
    """Kill one after the other, each while the rollout is in progress; yield what was killed and came back."""
    for step, programs in enumerate((AT_TWENTY_PERCENT, AT_FIFTY_PERCENT)):
        service.until_step_is_applied(rollout.id, step)
        for program in programs:
            assert not service.rollbook.rollouts.get(rollout.id).is_over
            service.stack.kill(program)
            yield program
    assert not service.rollbook.rollouts.get(rollout.id).is_over
    service.stack.kill_engine(rollout.candidate_deployment_id)
    yield "engine"


pytestmark = pytest.mark.timeout(2_000)


def test_the_rollout_completes_though_each_part_was_killed(story: Story) -> None:
    assert story.killed == KILLS
    assert story.rollout.phase == "completed", story.rollout.reason


def test_no_request_fails_while_parts_die(story: Story) -> None:
    assert story.progress.failed == 0, story.progress.failures
    assert story.progress.answered == story.progress.sent > 1_000


def test_each_answer_is_traced_to_the_event_that_routed_it(story: Story) -> None:
    assert story.provenance.checked == story.progress.answered
    assert (story.provenance.mismatches, story.provenance.unknown) == (0, 0)


def test_each_label_that_was_given_is_in_the_view(story: Story, rollbook: Rollbook) -> None:
    answer = rollbook.query("SELECT uniqExact(prediction_id) FROM feedback FINAL")

    assert story.progress.labels_lost == 0
    assert int(answer["data"][0][0]) >= story.progress.answered


def test_no_acknowledged_event_is_lost_and_none_has_two_effects(story: Story) -> None:
    assert len(story.history.acknowledged) > 20
    assert faults_of(story.history) == []


def test_the_views_equal_a_rebuild_from_the_topics(
    story: Story, stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    code = asyncio.run(
        rebuild.run(
            connection=KafkaConnection(bootstrap=stack.kafka_bootstrap), clickhouse_url=stack.clickhouse_url, swap=False
        )
    )

    assert code == 0, capsys.readouterr().out


def test_the_audit_proves_the_log(story: Story, stack: RunningStack) -> None:
    assert verify_log(stack.profile)["ok"]


def test_while_the_shipper_stands_still_the_view_is_late_and_no_gate_passes(
    stack: RunningStack, rollbook: Rollbook, name: str, tmp_path: Path
) -> None:
    service = serve_digits(stack, rollbook, name, directory=tmp_path)
    with service.traffic():
        strategy = canary(50, step_ms=4_000, bake_ms=2_000)
        rollout = rollbook.rollouts.start(name, service.versions[1], strategy=strategy, gates=[GATES[0]])
        service.until_step_is_applied(rollout.id, 0)

        with stack.paused("shipper"):
            time.sleep(9)  # what is tested is that time passes: the step's 4 s and the view's 3 s of patience
            metrics = rollbook.endpoints.metrics(name)
            waiting = rollbook.rollouts.get(rollout.id)

        ended = service.until_over(rollout.id)

    assert metrics.watermark.freshness == "late"
    assert (waiting.phase, waiting.step) == ("stepping", 0)
    assert ended.phase == "completed", ended.reason
