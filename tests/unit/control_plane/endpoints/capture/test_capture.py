from typing import Any

import msgspec
import pytest

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.capture.commands import ChangeCapturePolicy
from control_plane.endpoints.capture.decisions import change_capture_policy
from control_plane.endpoints.resources import ENDPOINTS, endpoint_resource, endpoint_row
from schemas.events.endpoints import CapturePolicy, CapturePolicyChanged, EndpointCreated
from tests.support.builders import reserved_endpoint, serving_endpoint
from tests.support.spec import Given

SPARING = CapturePolicy(inputs=("pixels",), sampling_rate=0.1, hashed=("pixels",), retention_days=2)
CREATED = EndpointCreated(name="digits", description="", salt="salt")


def given(*events: msgspec.Struct) -> Given[Endpoint]:
    return Given(ENDPOINTS, *events)


def change(policy: CapturePolicy) -> ChangeCapturePolicy:
    return ChangeCapturePolicy(policy=policy, reason="less")


def test_a_policy_is_changed_and_named_by_the_version_of_its_event() -> None:
    serving = given(*serving_endpoint())

    (changed,) = serving.when(lambda state: change_capture_policy(state, change(SPARING))).then_events()
    after = serving.happens(changed)

    assert changed == CapturePolicyChanged(policy=SPARING, reason="less")
    assert (after.state.capture.policy, after.state.capture.version) == (SPARING, 4)


def test_the_policy_that_rules_already_writes_nothing() -> None:
    changed = CapturePolicyChanged(policy=SPARING, reason="less")

    given(*serving_endpoint(), changed).when(lambda state: change_capture_policy(state, change(SPARING))).then_nothing()


def test_a_rollout_that_owns_the_traffic_does_not_hinder_it() -> None:
    given(*reserved_endpoint("rollout-1")).when(lambda state: change_capture_policy(state, change(SPARING))).then(
        CapturePolicyChanged(policy=SPARING, reason="less")
    )


def test_an_endpoint_without_versions_takes_any_names() -> None:
    policy = CapturePolicy(inputs=("later",))

    given(CREATED).when(lambda state: change_capture_policy(state, change(policy))).then(
        CapturePolicyChanged(policy=policy, reason="less")
    )


@pytest.mark.parametrize(
    ("policy", "words", "field"),
    [
        ({"inputs": ("pixels", "pixels")}, "repeated", "policy.inputs"),
        ({"hashed": ("",)}, "empty", "policy.hashed"),
        ({"hashed": ("pixel",)}, "no version on endpoint digits has 'pixel'", "policy.hashed"),
        ({"inputs": ("digit",)}, "no version", "policy.inputs"),
        ({"outputs": ("pixels",)}, "no version", "policy.outputs"),
        ({"inputs": (), "outputs": ("digit",), "hashed": ("pixels",)}, "neither inputs nor outputs", "policy.hashed"),
        ({"max_bytes": 5_000_000}, "max_bytes cannot be 5000000", "policy.max_bytes"),
        ({"max_values": 1_000_001}, "max_values", "policy.max_values"),
        ({"retention_days": 3_651}, "retention_days", "policy.retention_days"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any], words: str, field: str) -> None:
    given(*serving_endpoint()).when(
        lambda state: change_capture_policy(state, change(CapturePolicy(**policy)))
    ).then_refused(errors.InvalidCapturePolicyError, words, field=field)


def test_a_row_of_before_the_policy_is_read_with_the_usual_one() -> None:
    row = endpoint_row(given(*serving_endpoint()).state)
    older = msgspec.to_builtins(row)
    del older["capture"], older["capture_version"]

    shown = endpoint_resource(msgspec.convert(older, type(row)), ())

    assert (shown.capture, shown.capture_version) == (CapturePolicy(), 0)
