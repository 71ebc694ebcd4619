"""A data directory that an earlier release left in the middle of a rollout: the stack of today goes on with it."""

from collections.abc import Iterator

import httpx
import pytest

from rollbook import Rollbook
from rollbook_demo.evidence import verify_log
from rollbook_demo.models import read_digits
from tests.support.earlier_release import unpack_data_directory
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack, running_stack

SERVES_WITHIN_S = 180.0
OVER_WITHIN_S = 180.0

pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(scope="module")
def taken_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Start the stack of today on a copy."""
    with running_stack(unpack_data_directory(tmp_path_factory.mktemp("earlier"))) as stack:
        yield stack


@pytest.fixture
def client(taken_over: RunningStack) -> Iterator[Rollbook]:
    with taken_over.client() as client:
        yield client


def answer_of(stack: RunningStack, client: Rollbook) -> httpx.Response | None:
    """Ask for one digit; nothing while no instance is ready."""
    pixels = read_digits().train_images[0]
    body = {"inputs": [{"name": "pixels", "datatype": "FP64", "shape": [1, 64], "data": pixels.tolist()}]}
    headers = {"authorization": f"Bearer {client.inference_tokens.mint(['digits']).token}"}
    try:
        answer = httpx.post(
            f"{stack.gateway_url}/v2/models/digits/infer", json=body, headers=headers, timeout=30, verify=NO_AUTHORITIES
        )
    except httpx.TransportError:
        return None
    return answer if answer.is_success else None


def test_its_endpoint_answers(taken_over: RunningStack, client: Rollbook) -> None:
    answer = eventually(lambda: answer_of(taken_over, client), "an answer", within_s=SERVES_WITHIN_S, poll_s=0.5)

    assert answer is not None
    assert answer.json()["outputs"][0]["name"] == "label"
    assert answer.headers["x-rollbook-version"] in {"digits/2", "digits/4"}


def summaries(client: Rollbook, rollout_id: str) -> list[str]:
    """Return the timeline; nothing while the view has not read its end."""
    found = [entry.summary for entry in client.rollouts.timeline(rollout_id).items]
    return found if any(summary.startswith("Completed") for summary in found) else []


def test_its_rollout_is_promoted_and_completes(client: Rollbook) -> None:
    (rollout,) = client.rollouts.list(active=True)
    assert rollout.phase == "paused"

    client.rollouts.promote(rollout.id, reason="the release has changed")

    eventually(lambda: client.rollouts.get(rollout.id).is_over, "the end of it", within_s=OVER_WITHIN_S)
    assert client.rollouts.get(rollout.id).phase == "completed"
    told = eventually(lambda: summaries(client, rollout.id), "the whole timeline", within_s=OVER_WITHIN_S)
    assert any(summary.startswith("Rollout of digits/4 on digits started") for summary in told)


def test_its_log_and_the_topic_are_one_history(taken_over: RunningStack) -> None:
    assert verify_log(taken_over.profile)["ok"]


def test_a_person_of_then_gets_a_role_of_today(client: Rollbook) -> None:
    (granted, *_) = client.events(event_type="access.RoleGranted.v1", limit=1)
    person = granted.event["stream"]

    client.principals.grant_role(person, "operator", reason="off call")

    (again,) = client.events(event_type="access.RoleGranted.v2", limit=1)
    assert (again.event["stream"], again.event["data"]) == (person, {"role": "operator", "reason": "off call"})
