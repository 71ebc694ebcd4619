"""One of two instances hangs, or answers wrongly, under live traffic: it leaves, is started again, and returns."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollbook import Rollbook
from rollbook_demo.models import read_digits, train_versions
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.eventually import eventually
from tests.support.process_memory import spoil
from tests.support.region_traffic import RegionTraffic, region_traffic
from tests.support.stack import RunningStack
from workers.serving_agent.instance_book import InstanceRecord

pytestmark = pytest.mark.timeout(1_200)
LOCAL = "local"
WITHIN_S = 120.0
UNHEALTHY, ANNOUNCED = "endpoints.InstanceFoundUnhealthy.v1", "endpoints.InstanceAnnounced.v1"


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "patient", directory=tmp_path_factory.mktemp("patient"), replicas=2)


def hang(engine: InstanceRecord) -> None:
    os.kill(engine.pid, signal.SIGSTOP)


def answer_wrongly(engine: InstanceRecord) -> None:
    means = train_versions(read_digits())[0].classifier.theta_
    assert spoil(engine.pid, content=means.tobytes(), replacement=means[::-1].tobytes())


@pytest.mark.parametrize(
    ("replica", "harm", "code"), [(0, hang, "instance-hung"), (1, answer_wrongly, "golden-answer-wrong")]
)
def test_it_leaves_the_rotation_is_started_again_and_returns(
    stack: RunningStack, service: DigitsService, replica: int, harm: Callable[[InstanceRecord], None], code: str
) -> None:
    deployment_id = service.deployment_of(service.versions[0])
    sick = next(each for each in stack.engines(deployment_id) if each.slot.replica == replica)
    with region_traffic({LOCAL: stack.gateway_url}, endpoint=service.name, token=service.inference_token()) as traffic:
        eventually(lambda: _answers(traffic, sick), "answers of both instances", within_s=WITHIN_S)

        harm(sick)

        (found,) = eventually(lambda: _told(service.rollbook, UNHEALTHY, sick), "the verdict", within_s=WITHIN_S)
        eventually(lambda: _is_announced_anew(service.rollbook, sick), "its return", within_s=WITHIN_S)
        before = len(traffic.answers[LOCAL])
        eventually(lambda: _answers(traffic, sick, since=before), "answers of it again", within_s=WITHIN_S)

    assert traffic.failures == []
    assert (found["code"], found["deployment_id"]) == (code, deployment_id)


def _answers(traffic: RegionTraffic, engine: InstanceRecord, *, since: int = 0) -> bool:
    return any(answer.instance == engine.instance_id for answer in traffic.answers[LOCAL][since:])


def _told(rollbook: Rollbook, event_type: str, engine: InstanceRecord) -> list[dict[str, Any]]:
    found = rollbook.events(stream=engine.instance_id, event_type=event_type, limit=1_000)
    return [each.event["data"] for each in found]


def _is_announced_anew(rollbook: Rollbook, engine: InstanceRecord) -> bool:
    return any(told["boot_id"] != engine.boot_id for told in _told(rollbook, ANNOUNCED, engine)[-1:])
