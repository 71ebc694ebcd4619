"""One function a command on failover: load, decide, append, answer."""

import msgspec

from control_plane.endpoints.failover import commands, decisions
from control_plane.endpoints.failover.requests import FailoverPolicyBody, SetFailoverPolicyRequest
from control_plane.endpoints.handlers import append, endpoint_reply, load_endpoint, moment
from control_plane.ports import Reply, UnitOfWork
from schemas.events.endpoints import FailoverPolicy
from schemas.failover import ReportFailoverEnd, ReportFailoverStart


def set_failover_policy(
    uow: UnitOfWork, endpoint: str, request: SetFailoverPolicyRequest, *, expected_version: int | None
) -> Reply:
    """Choose who answers in place of instances that cannot be reached, whoever owns the endpoint's traffic."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    command = commands.SetFailoverPolicy(policy=_policy(request.policy), reason=request.reason)
    events = decisions.set_failover_policy(loaded.state, command)
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, events))


def report_failover_start(
    uow: UnitOfWork, endpoint: str, command: ReportFailoverStart, *, expected_version: int | None
) -> Reply:
    """Record what a region's gateway saw."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    moment(command.observed_at, field="observed_at")
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, decisions.report_start(loaded.state, command)))


def report_failover_end(
    uow: UnitOfWork, endpoint: str, command: ReportFailoverEnd, *, expected_version: int | None
) -> Reply:
    """Record that a region is served as usual again."""
    loaded = load_endpoint(uow, endpoint, expected_version=expected_version)
    moment(command.observed_at, field="observed_at")
    return endpoint_reply(uow, append(uow, loaded.state.id, loaded, decisions.report_end(loaded.state, command)))


def _policy(body: FailoverPolicyBody) -> FailoverPolicy:
    fields = msgspec.structs.asdict(body)
    return FailoverPolicy(backup_deployment_id=fields.pop("backup"), **fields)
