"""What the API takes, the SDK can send, and the command line can say: no member of a body is forgotten."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec
import pytest

from control_plane.endpoints import commands as endpoint_commands
from control_plane.endpoints import requests as endpoints
from control_plane.feedback.bodies import FeedbackBatch
from control_plane.inference_tokens import commands as tokens
from control_plane.registry import commands as registry
from control_plane.rollouts import commands as rollout_commands
from control_plane.rollouts import requests as rollouts
from projections.predictions.operations import PredictionIds
from projections.query.queries import Sql
from rollbook import _wire
from rollbook._sync.client import Rollbook
from rollbook._sync.connection import Connection
from rollbook._sync.endpoints import Endpoints
from rollbook._sync.inference_tokens import InferenceTokens
from rollbook._sync.registry import Models, Versions
from rollbook._sync.rollouts import Rollouts
from rollbook.cli.capture import set_capture
from rollbook.cli.failover import set_failover
from rollbook.cli.rollouts import PLAN
from rollbook.cli.scaling import set_scaling
from rollbook.resources import Artifact, CapturePolicy, FailoverPolicy, ScalingPolicy
from schemas import scaling
from schemas.events import endpoints as endpoint_events

T = TypeVar("T")
# The answer of `query` is read as JSONCompact, so that callers have no other format to choose.
LEFT_OUT: dict[type[msgspec.Struct], set[str]] = {Sql: {"format"}}


class Recording(Connection):
    """Keeps the body of a command, and sends nothing."""

    def __init__(self) -> None:
        self.body: Mapping[str, Any] = {}

    def command(self, path: str, body: Mapping[str, Any], result: type[T], **options: Any) -> Any:  # noqa: ANN401, ARG002
        self.body = _wire.without_none(body)
        return {"accepted": 0}

    def upload(self, path: str, file: Path, result: type[T]) -> T:  # noqa: ARG002
        return cast("T", Artifact(digest="sha256:0"))


def sent(call: Callable[[Recording], object]) -> Mapping[str, Any]:
    recording = Recording()
    call(recording)
    return recording.body


def client(recording: Recording) -> Rollbook:
    rollbook = Rollbook("http://127.0.0.1:9")
    rollbook._connection = recording  # noqa: SLF001  the client makes its own
    return rollbook


def members(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)} - LEFT_OUT.get(struct, set())


def register_version(to: Recording) -> None:
    Versions(to).register(
        "m",
        Path(__file__),
        signature={},
        artifact_format="skops",
        parent="m/1",
        golden={},
        parameters={},
        metrics={},
        tags={},
    )


# Each call gives everything that its method takes.
BODIES: list[tuple[type[msgspec.Struct], str, Callable[[Recording], object]]] = [
    (registry.RegisterModel, "", lambda to: Models(to).register("m", description="d", tags={"a": "b"})),
    (registry.SetAlias, "", lambda to: Models(to).set_alias("m", "a", 1, reason="x")),
    (registry.RemoveAlias, "", lambda to: Models(to).remove_alias("m", "a", reason="x")),
    (registry.RegisterVersion, "", register_version),
    (registry.ArtifactChoice, "artifact", register_version),
    (
        endpoints.CreateEndpointRequest,
        "",
        lambda to: Endpoints(to).create("e", version="m/1", replicas=1, description="d", regions=["a"]),
    ),
    (endpoints.AddDeploymentRequest, "", lambda to: Endpoints(to).deploy("e", "m/1", replicas=1, regions=["a"])),
    (endpoints.RemoveDeploymentRequest, "", lambda to: Endpoints(to).remove_deployment("e", "d", reason="x")),
    (endpoints.PlaceDeploymentRequest, "", lambda to: Endpoints(to).place("e", "d", ["a"], reason="x")),
    (endpoints.SetTrafficRequest, "", lambda to: Endpoints(to).set_traffic("e", {"d": 100}, reason="x")),
    (endpoints.Weight, "weights.0", lambda to: Endpoints(to).set_traffic("e", {"d": 100}, reason="x")),
    (
        endpoint_commands.ChangeCapturePolicy,
        "",
        lambda to: Endpoints(to).set_capture_policy("e", CapturePolicy(), reason="x"),
    ),
    (
        endpoint_events.CapturePolicy,
        "policy",
        lambda to: Endpoints(to).set_capture_policy("e", CapturePolicy(), reason="x"),
    ),
    (
        endpoint_commands.SetScalingPolicy,
        "",
        lambda to: Endpoints(to).set_scaling_policy("e", ScalingPolicy(), reason="x"),
    ),
    (
        scaling.ScalingPolicy,
        "policy",
        lambda to: Endpoints(to).set_scaling_policy("e", ScalingPolicy(), reason="x"),
    ),
    (
        endpoints.SetFailoverPolicyRequest,
        "",
        lambda to: Endpoints(to).set_failover_policy("e", FailoverPolicy(), reason="x"),
    ),
    (
        endpoints.FailoverPolicyBody,
        "policy",
        lambda to: Endpoints(to).set_failover_policy("e", FailoverPolicy(), reason="x"),
    ),
    (
        endpoints.SetShadowRequest,
        "",
        lambda to: Endpoints(to).set_shadow("e", version="v", deployment_id="d", replicas=2, percent=1, reason="x"),
    ),
    (endpoint_commands.RemoveShadow, "", lambda to: Endpoints(to).remove_shadow("e", reason="x")),
    (
        endpoint_commands.ChooseAssignmentKey,
        "",
        lambda to: Endpoints(to).choose_assignment_key("e", header="h", claim="c", reason="x"),
    ),
    (
        endpoint_events.AssignmentKey,
        "key",
        lambda to: Endpoints(to).choose_assignment_key("e", header="h", claim="c", reason="x"),
    ),
    (
        rollouts.StartRolloutRequest,
        "",
        lambda to: Rollouts(to).start(
            "e",
            "m/1",
            strategy={},
            gates=[],
            replicas=1,
            alpha=0.1,
            when_inconclusive="pause",
            warm_up_timeout_ms=1_000,
        ),
    ),
    (rollout_commands.PauseRollout, "", lambda to: Rollouts(to).pause("r", reason="x")),
    (rollouts.RollbackRequest, "", lambda to: Endpoints(to).rollback("e", reason="x", epoch=1)),
    (tokens.MintInferenceToken, "", lambda to: InferenceTokens(to).mint(["*"], ttl_s=1)),
    (tokens.RotateSigningKey, "", lambda to: InferenceTokens(to).rotate_key(reason="x", overlap_s=1, lead_s=1)),
    (
        tokens.RevokeInferenceTokens,
        "",
        lambda to: InferenceTokens(to).revoke(reason="x", token_id="t", principal_id="p"),
    ),
    (Sql, "", lambda to: client(to).query("SELECT 1", {"a": 1})),
    (PredictionIds, "", lambda to: client(to).who_served_each(["p"])),
    (FeedbackBatch, "", lambda to: client(to).send_feedback([])),
]


@pytest.mark.parametrize(("struct", "place", "call"), BODIES, ids=[f"{one.__name__}" for one, *_ in BODIES])
def test_the_sdk_sends_every_member_that_the_api_takes(
    struct: type[msgspec.Struct], place: str, call: Callable[[Recording], object]
) -> None:
    body: Any = sent(call)
    for part in filter(None, place.split(".")):
        body = body[int(part)] if part.isdecimal() else body[part]

    assert set(body) == members(struct)


def test_a_plan_takes_what_a_rollout_takes() -> None:
    named_by_arguments = {"endpoint", "version"}

    assert members(rollouts.StartRolloutRequest) - named_by_arguments == PLAN
    assert set(inspect.signature(Rollouts.start).parameters) >= PLAN


@pytest.mark.parametrize(
    ("command", "policy"),
    [(set_capture, CapturePolicy), (set_scaling, ScalingPolicy), (set_failover, FailoverPolicy)],
)
def test_a_policy_has_an_option_for_each_of_its_members(command: click.Command, policy: type[msgspec.Struct]) -> None:
    assert {parameter.name for parameter in command.params} >= members(policy)
