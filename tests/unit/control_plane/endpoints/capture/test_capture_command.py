"""The command as it comes from a body: strict reading, one event, and what the answer and the snapshot then say."""

import msgspec
import pytest

from control_plane.endpoints.capture.commands import ChangeCapturePolicy
from control_plane.endpoints.capture.handlers import change_capture_policy
from control_plane.endpoints.commands import CreateEndpoint
from control_plane.endpoints.errors import StaleVersionError
from control_plane.endpoints.handlers import create_endpoint
from control_plane.endpoints.resources import ENDPOINTS, EndpointResource
from control_plane.web.bodies import InvalidBodyError, decode_body
from schemas.documents.endpoints import Endpoint
from schemas.events.endpoints import CapturePolicy, CapturePolicyChanged
from tests.support.documents import documents_of
from tests.support.memory_log import MemoryLog


def request(body: bytes) -> ChangeCapturePolicy:
    return msgspec.json.decode(body, type=ChangeCapturePolicy)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.run(lambda unit: create_endpoint(unit, CreateEndpoint(name="digits"), expected_version=None))
    return log


def change(log: MemoryLog, body: bytes, *, expected_version: int | None = None) -> EndpointResource:
    reply = log.run(
        lambda unit: change_capture_policy(unit, "digits", request(body), expected_version=expected_version)
    )
    return msgspec.json.decode(reply.body, type=EndpointResource)


def test_what_is_left_out_of_the_policy_is_as_usual(log: MemoryLog) -> None:
    changed = change(log, b'{"policy": {"sampling_rate": 0.5, "outputs": []}, "reason": "less"}')

    policy = CapturePolicy(sampling_rate=0.5, outputs=())
    assert log.of(changed.id)[-1] == CapturePolicyChanged(policy=policy, reason="less")
    assert (changed.capture, changed.capture_version) == (policy, 2)
    assert log.replayed(ENDPOINTS, changed.id).capture.policy == policy


def test_agents_find_the_policy_in_the_document(log: MemoryLog) -> None:
    change(log, b'{"policy": {"retention_days": 2}, "reason": "less"}')

    (document,) = (each for each in documents_of(log.rows.values()) if each.kind == "endpoint")
    endpoint = msgspec.json.decode(document.document, type=Endpoint)

    assert (endpoint.capture.retention_days, endpoint.capture_version) == (2, 2)


def test_a_caller_who_saw_an_older_policy_is_refused(log: MemoryLog) -> None:
    change(log, b'{"policy": {"retention_days": 2}, "reason": "less"}', expected_version=1)

    with pytest.raises(StaleVersionError):
        change(log, b'{"policy": {"retention_days": 9}, "reason": "more"}', expected_version=1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"policy": {"sample": 0.5}, "reason": "x"}',
        b'{"policy": {"sampling_rate": 1.5}, "reason": "x"}',
        b'{"policy": {"inputs": "pixels"}, "reason": "x"}',
        b'{"policy": {"retention_days": 0}, "reason": "x"}',
        b'{"policy": {}, "reason": ""}',
        b'{"policy": {}}',
        b'{"reason": "x"}',
    ],
)
def test_a_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidBodyError):
        decode_body(body, ChangeCapturePolicy)
