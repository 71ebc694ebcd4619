"""Which deployments have their requests held, and where Envoy is told to send those."""

import msgspec
import pytest
from envoy.config.endpoint.v3 import endpoint_pb2

from schemas.events.endpoints import FailoverPolicy, FailoverPolicySet, ScalingPolicySet, ShadowSet
from schemas.scaling import ScalingPolicy
from serving.gateway import names
from serving.gateway.mirrors import shadow_name
from serving.gateway.resources import update_for
from serving.gateway.route_documents import Change
from serving.gateway.routing_table import RoutingTable
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
SLEEPER = ScalingPolicy(min_replicas=0, max_replicas=2, in_flight=4.0)


class Story:
    """A table whose changes are turned into what Envoy gets."""

    def __init__(self) -> None:
        self.log = Log()
        self.table = RoutingTable(NOTHING_KNOWN)
        self.assignments: dict[str, endpoint_pb2.ClusterLoadAssignment] = {}

    def tell(self, stream: str, event: msgspec.Struct) -> Change:
        change = self.table.take(self.log.append(stream, event))
        for resource in update_for(change, self.table).resources:
            if resource.type_url == names.ENDPOINTS_TYPE:
                message = endpoint_pb2.ClusterLoadAssignment()
                resource.body.Unpack(message)
                self.assignments[resource.name] = message
        return change

    def sockets(self, cluster: str) -> list[str]:
        there = [each for part in self.assignments[cluster].endpoints for each in part.lb_endpoints]
        return [each.endpoint.address.pipe.path for each in there if each.endpoint.address.HasField("pipe")]


@pytest.fixture
def story() -> Story:
    story = Story()
    story.tell(ENDPOINT, created())
    for name in ("d1", "d2"):
        story.tell(ENDPOINT, added(name))
    story.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    story.tell(ENDPOINT, ScalingPolicySet(policy=SLEEPER, reason="test"))
    return story


def test_a_deployment_without_any_instance_is_held_until_it_has_one(story: Story) -> None:
    assert story.table.is_held("d1")
    assert story.sockets("d1") == story.sockets("d1~grpc") == ["hold/d1.sock"]

    story.tell("instance-1", announced(ENDPOINT, "d1"))
    assert not story.table.is_held("d1")
    assert story.sockets("d1") == []

    story.tell("instance-1", withdrawn(ENDPOINT, "d1"))
    assert story.sockets("d1") == ["hold/d1.sock"]


def test_an_instance_in_another_region_or_of_the_backup_answers_before_anybody_waits(story: Story) -> None:
    story.tell("instance-far", announced(ENDPOINT, "d1", region="far"))
    assert story.sockets("d1") == []

    policy = FailoverPolicy(backup_deployment_id="d2", backup_regions=())
    story.tell(ENDPOINT, FailoverPolicySet(policy=policy, reason="test"))
    assert story.sockets("d1") == ["hold/d1.sock"]

    story.tell("instance-2", announced(ENDPOINT, "d2"))
    assert story.sockets("d1") == []

    story.tell("instance-2", withdrawn(ENDPOINT, "d2"))
    assert story.sockets("d1") == ["hold/d1.sock"]


def test_copies_for_a_shadow_are_never_held(story: Story) -> None:
    story.tell("instance-2", announced(ENDPOINT, "d2"))
    story.tell(ENDPOINT, ShadowSet(deployment_id="d2", percent=100.0, reason="test"))

    story.tell("instance-2", withdrawn(ENDPOINT, "d2"))

    assert story.sockets(shadow_name("d2")) == []


def test_nothing_is_held_under_a_policy_that_keeps_a_replica(story: Story) -> None:
    awake = msgspec.structs.replace(SLEEPER, min_replicas=1)

    story.tell(ENDPOINT, ScalingPolicySet(policy=awake, reason="test"))

    assert story.sockets("d1") == []
