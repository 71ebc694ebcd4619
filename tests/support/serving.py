"""A log in memory with an endpoint that serves a version, ready for rollouts."""

import msgspec

from control_plane.endpoints.commands import CreateEndpoint
from control_plane.endpoints.handlers import create_endpoint
from control_plane.endpoints.instances.handlers import announce_instance
from control_plane.endpoints.resources import EndpointResource
from control_plane.ports import CatalogueRow, Reply
from control_plane.rollouts.commands import StartRollout
from control_plane.rollouts.handlers import start_rollout
from control_plane.web.bodies import decode_body
from schemas.documents.rollouts import Rollout
from schemas.documents.versions import Version
from schemas.envelope import rfc3339
from schemas.identifiers import Kind
from schemas.instances import AnnounceInstance
from tests.support.builders import ARTIFACT, GATES, SIGNATURE, canary
from tests.support.memory_log import MemoryLog
from tests.support.spec import BEGAN_MS, WORKSPACE

ENDPOINT = "digits"


def log_with_versions(*numbers: int) -> MemoryLog:
    """Make a log whose catalogue knows versions of the model `digits`."""
    log = MemoryLog()
    model_id = log.new_id(Kind.MODEL)
    _row(log, kind=Kind.MODEL, identifier=model_id, name="digits")
    for number in numbers:
        version_id = log.new_id(Kind.VERSION)
        body = Version(
            id=version_id,
            model_id=model_id,
            model_name="digits",
            number=number,
            artifact=ARTIFACT,
            signature=SIGNATURE,
            golden=None,
            parameters={},
            metrics={},
            tags={},
            created_at=rfc3339(BEGAN_MS),
        )
        _row(log, kind=Kind.VERSION, identifier=version_id, parent_id=model_id, number=number, body=body)
    return log


def serving_log() -> MemoryLog:
    """Make a log in which endpoint `digits` serves digits/1 from one ready instance; digits/2 and 3 exist."""
    log = log_with_versions(1, 2, 3)
    request = CreateEndpoint(name=ENDPOINT, version="digits/1")
    endpoint = endpoint_in(log.run(lambda unit: create_endpoint(unit, request, expected_version=None)))
    announce(log, endpoint.id, endpoint.deployments[0].id)
    return log


def announce(log: MemoryLog, endpoint_id: str, deployment_id: str) -> str:
    """Let an instance of a deployment be ready; return its id."""
    command = AnnounceInstance(
        endpoint_id=endpoint_id,
        deployment_id=deployment_id,
        agent_id="agent-1",
        boot_id=f"boot-{deployment_id}",
        host="127.0.0.1",
        port=9_000,
        region="local",
        zone="a",
    )
    reply = log.run(lambda unit: announce_instance(unit, command, expected_version=None))
    body = msgspec.json.decode(reply.body, type=dict[str, object])
    return str(body["id"])


def rollout_request(**changes: object) -> StartRollout:
    """Make the request of a whole rollout of digits/2, read as the API reads it."""
    body = {"endpoint": ENDPOINT, "version": "digits/2", "gates": GATES, "strategy": canary(), **changes}
    return decode_body(msgspec.json.encode(body), StartRollout)


def begin(log: MemoryLog, **changes: object) -> Rollout:
    """Start a rollout."""
    request = rollout_request(**changes)
    return rollout_in(log.run(lambda unit: start_rollout(unit, request, expected_version=None)))


def endpoint_in(reply: Reply) -> EndpointResource:
    return msgspec.json.decode(reply.body, type=EndpointResource)


def rollout_in(reply: Reply) -> Rollout:
    return msgspec.json.decode(reply.body, type=Rollout)


def _row(  # noqa: PLR0913  the fields of a row
    log: MemoryLog,
    *,
    kind: Kind,
    identifier: str,
    name: str | None = None,
    parent_id: str | None = None,
    number: int | None = None,
    body: object = None,
) -> None:
    log.rows[identifier] = CatalogueRow(
        workspace=WORKSPACE,
        kind=kind,
        id=identifier,
        name=name,
        parent_id=parent_id,
        number=number,
        created_at=rfc3339(BEGAN_MS),
        stream_version=1,
        body=msgspec.json.encode(body),
    )
