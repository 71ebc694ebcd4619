import msgspec

from schemas.catalogue import TYPE_NAMES
from schemas.envelope import Envelope, encode_data
from schemas.events.endpoints import (
    CapturePolicy,
    CapturePolicyChanged,
    DeploymentAdded,
    DeploymentPlaced,
    DeploymentRemoved,
    EndpointCreated,
    InstanceAnnounced,
    InstanceFailed,
    InstanceWithdrawn,
    VersionReference,
)
from schemas.events.registry import Artifact
from schemas.identifiers import EventId, StreamId
from serving.capture.policy_file import PolicyInForce
from tests.support.digits import SIGNATURE
from workers.serving_agent.control_plane import (
    ServingSnapshot,
    SnapshotDeployment,
    SnapshotEndpoint,
    SnapshotInstance,
)
from workers.serving_agent.desired import DesiredState

VERSION = VersionReference(version_id="version-1", model_name="digits", number=1)
ARTIFACT = Artifact(digest="sha256:00", size_bytes=1, format="skops")
SNAPSHOT = ServingSnapshot(
    position=10,
    endpoints=(
        SnapshotEndpoint(
            id="endpoint-1",
            workspace="default",
            name="digits",
            deployments=(
                SnapshotDeployment(
                    id="deployment-1", version=VERSION, artifact=ARTIFACT, signature=SIGNATURE, replicas=2
                ),
            ),
        ),
    ),
    instances=(
        SnapshotInstance(id="instance-1", deployment_id="deployment-1", agent_id="local"),
        SnapshotInstance(id="instance-2", deployment_id="deployment-1", agent_id="elsewhere"),
    ),
)


def test_a_capture_policy_is_named_by_its_event_and_an_endpoint_begins_with_the_usual_one() -> None:
    state = _state()
    sparing = CapturePolicy(sampling_rate=0.5)
    changed = msgspec.structs.replace(_envelope(CapturePolicyChanged(policy=sparing, reason="less")), streamversion=9)

    state.apply(changed, position=11)
    state.apply(_envelope(EndpointCreated(name="other", description="", salt=""), stream="endpoint-2"), position=12)

    assert state.captures == {
        "endpoint-1": PolicyInForce(version=9, policy=sparing),
        "endpoint-2": PolicyInForce(),
    }


def test_a_deployment_without_a_placement_is_wanted_wherever_an_agent_is() -> None:
    assert _state().wanted_replicas() == {"deployment-1": 2}


def test_a_placement_moves_a_deployment_in_and_out_of_a_region() -> None:
    state = _state()

    state.apply(_envelope(_placed("us")), position=11)
    assert state.wanted_replicas() == {}
    state.apply(_envelope(_placed("us", "eu")), position=12)
    assert state.wanted_replicas() == {"deployment-1": 2}


def test_a_deployment_that_begins_elsewhere_is_never_wanted_here() -> None:
    state = _state()

    state.apply(_envelope(_placed("us", deployment_id="deployment-2")), position=11)
    state.apply(_envelope(_added("deployment-2")), position=12)

    assert state.wanted_replicas() == {"deployment-1": 2}


def _placed(*regions: str, deployment_id: str = "deployment-1") -> DeploymentPlaced:
    return DeploymentPlaced(deployment_id=deployment_id, regions=regions, reason="test")


def _state() -> DesiredState:
    return DesiredState(SNAPSHOT, agent_id="local", region="eu")


def _envelope(event: msgspec.Struct, *, stream: str = "endpoint-1") -> Envelope:
    return Envelope(
        type=TYPE_NAMES[type(event)],
        id=EventId("event-1"),
        time="2026-01-02T03:04:05.678Z",
        workspace="default",
        stream=StreamId(stream),
        streamversion=1,
        actor="principal-1",
        correlationid="c",
        causationid="c",
        commandid="c",
        data=encode_data(event),
    )


def _added(deployment_id: str) -> DeploymentAdded:
    return DeploymentAdded(
        deployment_id=deployment_id,
        version=VERSION,
        artifact=ARTIFACT,
        signature=SIGNATURE,
        golden=None,
        replicas=3,
    )


def _announced(agent_id: str) -> InstanceAnnounced:
    return InstanceAnnounced(
        endpoint_id="endpoint-1",
        deployment_id="deployment-1",
        agent_id=agent_id,
        boot_id="boot-1",
        host="127.0.0.1",
        port=1,
        region="local",
        zone="local",
    )


def test_a_snapshot_says_what_is_wanted_and_which_instances_are_ours() -> None:
    state = _state()

    assert state.deployments["deployment-1"].endpoint == "digits"
    assert state.deployments["deployment-1"].replicas == 2
    assert state.announced == {"instance-1"}


def test_a_deployment_is_wanted_until_it_is_removed() -> None:
    state = _state()

    state.apply(_envelope(_added("deployment-2")), position=11)
    assert state.deployments["deployment-2"].replicas == 3

    state.apply(_envelope(DeploymentRemoved(deployment_id="deployment-2", reason="r")), position=12)
    assert set(state.deployments) == {"deployment-1"}


def test_a_deployment_of_an_endpoint_made_after_the_snapshot_carries_its_name() -> None:
    state = _state()

    state.apply(_envelope(EndpointCreated(name="letters", description="", salt="s"), stream="endpoint-2"), position=11)
    state.apply(_envelope(_added("deployment-2"), stream="endpoint-2"), position=12)

    assert state.deployments["deployment-2"].endpoint == "letters"


def test_an_event_that_the_snapshot_holds_changes_nothing() -> None:
    state = _state()

    state.apply(_envelope(DeploymentRemoved(deployment_id="deployment-1", reason="r")), position=10)

    assert set(state.deployments) == {"deployment-1"}


def test_announcements_of_this_agent_are_followed_and_those_of_others_are_not() -> None:
    state = _state()

    state.apply(_envelope(_announced("local"), stream="instance-3"), position=11)
    state.apply(_envelope(_announced("elsewhere"), stream="instance-4"), position=12)
    assert state.announced == {"instance-1", "instance-3"}

    withdrawn = InstanceWithdrawn(endpoint_id="endpoint-1", deployment_id="deployment-1", reason="r")
    failed = InstanceFailed(endpoint_id="e", deployment_id="d", agent_id="local", code="c", reason="r")
    state.apply(_envelope(withdrawn, stream="instance-1"), position=13)
    state.apply(_envelope(failed, stream="instance-3"), position=14)
    assert state.announced == set()


def test_an_event_of_a_newer_release_is_passed_over() -> None:
    state = _state()
    unknown = msgspec.structs.replace(_envelope(_announced("local")), type="endpoints.SomethingElse.v9")

    state.apply(unknown, position=11)
    state.apply(_envelope(DeploymentRemoved(deployment_id="deployment-1", reason="r")), position=12)

    assert state.deployments == {}
