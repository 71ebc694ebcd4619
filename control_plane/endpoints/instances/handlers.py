"""One function a command on instances: load, decide, append, answer."""

from collections.abc import Sequence

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.handlers import load_endpoint, require_version
from control_plane.endpoints.instances import decisions
from control_plane.endpoints.resources import INSTANCES
from control_plane.errors import Invalid
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.documents.endpoints import Instance
from schemas.identifiers import Kind, kind_of
from schemas.instances import AnnounceInstance, FailInstance, WithdrawInstance

_OK, _CREATED = 200, 201


def announce_instance(uow: UnitOfWork, command: AnnounceInstance, *, expected_version: int | None) -> Reply:
    """Record where an engine takes traffic."""
    _require_deployment(uow, command.endpoint_id, command.deployment_id)
    instance_id = command.instance_id or uow.new_id(Kind.INSTANCE)
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    events = decisions.announce(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events, status=_CREATED if loaded.version == 0 else _OK)


def withdraw_instance(
    uow: UnitOfWork, instance_id: str, command: WithdrawInstance, *, expected_version: int | None
) -> Reply:
    """Record that an engine takes no traffic any more."""
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    if loaded.version == 0:
        raise errors.InstanceNotFoundError(f"there is no instance {instance_id}", remedy="announce it first")
    events = decisions.withdraw(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events)


def fail_instance(uow: UnitOfWork, instance_id: str, command: FailInstance, *, expected_version: int | None) -> Reply:
    """Record that an agent gave up on an engine, which may never have been announced."""
    loaded = _load_instance(uow, instance_id, expected_version=expected_version)
    events = decisions.fail(loaded.state, command)
    return _instance_reply(uow, instance_id, loaded, events)


def _load_instance(uow: UnitOfWork, instance_id: str, *, expected_version: int | None) -> Loaded[Instance]:
    if kind_of(instance_id) is not Kind.INSTANCE:
        raise Invalid(
            f"{instance_id!r} is not a valid instance id",
            field="instance_id",
            remedy="use instance- and a UUID of version 7",
        )
    loaded = uow.load(INSTANCES, instance_id)
    require_version(loaded.version, expected_version)
    return loaded


def _instance_reply(
    uow: UnitOfWork,
    instance_id: str,
    loaded: Loaded[Instance],
    events: Sequence[msgspec.Struct],
    *,
    status: int = _OK,
) -> Reply:
    if events:
        loaded = uow.append(INSTANCES, instance_id, expected_version=loaded.version, events=events)
    return Reply(status=status, body=msgspec.json.encode(loaded.state), stream_version=loaded.version)


def _require_deployment(uow: UnitOfWork, endpoint_id: str, deployment_id: str) -> None:
    if load_endpoint(uow, endpoint_id).state.deployments.find(deployment_id) is None:
        raise errors.DeploymentNotFoundError(
            f"endpoint {endpoint_id} has no deployment {deployment_id}",
            field="deployment_id",
            remedy="stop the instance; its deployment was removed",
        )
