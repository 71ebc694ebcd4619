from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from infra.kafka.serving_state import Documents
from schemas.documents.records import StateRecord
from schemas.events.endpoints import (
    CapturePolicy,
    CapturePolicyChanged,
    DeploymentAdded,
    DeploymentPlaced,
    DeploymentRemoved,
    InstanceFailed,
    ReplicasChanged,
)
from serving.capture.policy_file import PolicyInForce
from tests.support.routing import Log, added, announced, created, shifted, withdrawn
from workers.serving_agent.desired import DesiredState

ENDPOINT = "endpoint-1"


class Story:
    """An agent's state that is told events."""

    def __init__(self) -> None:
        self.log = Log()
        self.state = DesiredState(agent_id="agent", region="eu")
        self.tell(ENDPOINT, created())
        self.tell(ENDPOINT, wanted("d1"))

    def tell(self, stream: str, event: msgspec.Struct) -> None:
        self.state.take(self.log.append(stream, event))


def wanted(deployment_id: str, *, replicas: int = 2) -> DeploymentAdded:
    return msgspec.structs.replace(added(deployment_id), replicas=replicas)


def placed(*regions: str, deployment_id: str = "d1") -> DeploymentPlaced:
    return DeploymentPlaced(deployment_id=deployment_id, regions=regions, reason="test")


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_deployment_carries_what_its_engine_needs_to_know_of_its_endpoint(story: Story) -> None:
    deployment = story.state.deployments["d1"]

    assert (deployment.endpoint_id, deployment.endpoint, deployment.workspace) == (ENDPOINT, "digits", "default")
    assert (deployment.replicas, deployment.artifact.format) == (2, "skops")


def test_a_capture_policy_is_named_by_its_event_and_an_endpoint_begins_with_the_default_one(story: Story) -> None:
    sparing = CapturePolicy(sampling_rate=0.5)

    story.tell(ENDPOINT, CapturePolicyChanged(policy=sparing, reason="less"))
    story.tell("endpoint-2", created("other"))

    assert story.state.captures == {
        ENDPOINT: PolicyInForce(version=3, policy=sparing, workspace="default"),
        "endpoint-2": PolicyInForce(workspace="default"),
    }


def test_a_deployment_without_a_placement_is_wanted_wherever_an_agent_is(story: Story) -> None:
    assert story.state.wanted_replicas() == {"d1": 2}


def test_a_placement_moves_a_deployment_in_and_out_of_a_region(story: Story) -> None:
    story.tell(ENDPOINT, placed("us"))
    assert story.state.wanted_replicas() == {}

    story.tell(ENDPOINT, placed("us", "eu"))
    assert story.state.wanted_replicas() == {"d1": 2}


def test_a_deployment_that_begins_elsewhere_is_never_wanted_here(story: Story) -> None:
    story.tell(ENDPOINT, placed("us", deployment_id="d2"))
    story.tell(ENDPOINT, wanted("d2"))

    assert story.state.wanted_replicas() == {"d1": 2}


def test_replicas_follow_the_documents(story: Story) -> None:
    story.tell(
        ENDPOINT,
        ReplicasChanged(
            deployment_id="d1", from_replicas=2, to_replicas=5, code="in-flight", measurement=None, reason="busy"
        ),
    )

    assert story.state.wanted_replicas() == {"d1": 5}


def test_a_new_weight_rewrites_no_signature(story: Story) -> None:
    assert [each.id for each in story.log.append(ENDPOINT, shifted(d1=[(0, 10_000)])).records] == [ENDPOINT]


def test_a_signature_that_comes_after_its_deployment_completes_it(story: Story) -> None:
    fresh = DesiredState(agent_id="agent", region="eu")
    signature, endpoint = story.log.all().records

    fresh.take(Documents(records=(endpoint,), is_all=True))
    assert (set(fresh.deployments), fresh.is_complete) == (set(), False)

    fresh.take(Documents(records=(signature,), is_all=False))
    assert (fresh.deployments, fresh.is_complete) == (story.state.deployments, True)


def test_a_document_of_an_earlier_release_holds_the_signature_itself(story: Story) -> None:
    def as_before(document: dict[str, Any]) -> None:
        (deployment,) = document["deployments"]
        del deployment["signature_id"], deployment["golden_id"]
        deployment |= {"signature": {"inputs": [], "outputs": []}, "golden": None}

    fresh = DesiredState(agent_id="agent", region="eu")
    fresh.take(changed(endpoint_in(story), as_before))

    assert fresh.is_complete
    assert fresh.wanted_replicas() == story.state.wanted_replicas()
    assert fresh.deployments["d1"].signature == story.state.deployments["d1"].signature


def test_a_signature_that_went_while_the_agent_was_away_is_forgotten(story: Story) -> None:
    story.tell(ENDPOINT, wanted("d2"))
    (signature,) = (each for each in story.state.records if each.kind == "signature")
    other = msgspec.structs.replace(signature, id="content-of-before")

    story.state.take(Documents(records=(other,), is_all=False))
    assert other in story.state.records

    story.state.take(story.log.all())
    assert other not in story.state.records
    assert story.state.is_complete


def test_equal_signatures_of_an_endpoint_are_one_document_until_the_last_of_their_deployments_is_removed(
    story: Story,
) -> None:
    def signatures() -> list[str]:
        return [
            each.id for each in story.log.all().records if isinstance(each, StateRecord) and each.kind == "signature"
        ]

    before = signatures()
    story.tell(ENDPOINT, wanted("d2"))
    story.tell(ENDPOINT, DeploymentRemoved(deployment_id="d1", reason="r"))
    assert signatures() == before
    assert len(before) == 1

    story.tell(ENDPOINT, DeploymentRemoved(deployment_id="d2", reason="r"))
    assert signatures() == []


def test_a_deployment_is_wanted_until_it_is_removed(story: Story) -> None:
    story.tell(ENDPOINT, wanted("d2", replicas=3))
    assert story.state.wanted_replicas() == {"d1": 2, "d2": 3}

    story.tell(ENDPOINT, DeploymentRemoved(deployment_id="d2", reason="r"))
    assert set(story.state.deployments) == {"d1"}


def test_announcements_of_this_agent_are_followed_and_those_of_others_are_not(story: Story) -> None:
    elsewhere = msgspec.structs.replace(announced(ENDPOINT, "d1"), agent_id="elsewhere")
    for name in ("instance-1", "instance-2", "instance-3"):
        story.tell(name, announced(ENDPOINT, "d1"))
    story.tell("instance-4", elsewhere)
    assert story.state.announced.keys() == {"instance-1", "instance-2", "instance-3"}

    story.tell("instance-1", withdrawn(ENDPOINT, "d1"))
    story.tell("instance-2", InstanceFailed(endpoint_id="e", deployment_id="d", agent_id="agent", code="c", reason="r"))
    story.tell("instance-3", elsewhere)
    assert story.state.announced == {}


def test_nothing_is_complete_before_all_documents_were_read(story: Story) -> None:
    fresh = DesiredState(agent_id="agent", region="eu")
    assert (fresh.is_known, fresh.is_complete) == (False, False)

    fresh.take(Documents(records=story.state.records, is_all=False))
    assert (fresh.is_known, fresh.is_complete) == (True, False)

    fresh.take(story.log.all())
    assert (fresh.is_known, fresh.is_complete) == (True, True)


def test_what_is_kept_of_the_documents_is_enough_to_begin_with(story: Story) -> None:
    fresh = DesiredState(agent_id="agent", region="eu")

    fresh.take(Documents(records=story.state.records, is_all=False))

    assert (fresh.deployments, fresh.captures) == (story.state.deployments, story.state.captures)


def test_a_topic_that_is_yet_to_be_filled_again_ends_no_deployment(story: Story) -> None:
    story.tell("instance-1", announced(ENDPOINT, "d1"))

    story.state.take(Documents(records=(), is_all=True))

    assert (story.state.wanted_replicas(), story.state.announced) == ({"d1": 2}, {})


def endpoint_in(story: Story) -> StateRecord:
    (record,) = (each for each in story.state.records if each.id == ENDPOINT)
    return record


def changed(record: StateRecord, change: Callable[[dict[str, object]], None]) -> Documents:
    document = msgspec.json.decode(record.document)
    change(document)
    newer = msgspec.structs.replace(record, document=msgspec.Raw(msgspec.json.encode(document)))
    return Documents(records=(newer,), is_all=True)


def test_a_deployment_of_a_newer_release_hides_no_other_and_makes_the_picture_incomplete(story: Story) -> None:
    story.tell(ENDPOINT, wanted("d2"))

    def in_an_unknown_format(document: dict[str, object]) -> None:
        document["deployments"][0]["artifact"]["format"] = "gguf"  # type: ignore[index]

    story.state.take(changed(endpoint_in(story), in_an_unknown_format))

    assert (set(story.state.deployments), story.state.is_complete) == ({"d2"}, False)
    story.state.take(story.log.all())
    assert (set(story.state.deployments), story.state.is_complete) == ({"d1", "d2"}, True)


def test_an_endpoint_of_a_newer_release_stays_as_it_was(story: Story) -> None:
    def with_an_unknown_policy(document: dict[str, object]) -> None:
        document["capture"] = {"sampling_rate": "adaptive"}

    story.state.take(changed(endpoint_in(story), with_an_unknown_policy))

    assert (story.state.wanted_replicas(), story.state.is_complete) == ({"d1": 2}, False)


def test_a_document_that_changes_nothing_here_is_not_worth_keeping(story: Story) -> None:
    before = story.state.records

    story.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    assert story.state.records == before

    story.tell(ENDPOINT, CapturePolicyChanged(policy=CapturePolicy(sampling_rate=0.5), reason="less"))
    assert story.state.records != before
