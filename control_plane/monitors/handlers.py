"""One function a command: load, decide, append, answer. The rules are in the aggregate."""

from collections.abc import Callable, Sequence

import msgspec

from control_plane.monitors import aggregate
from control_plane.monitors.aggregate import WatchedEndpoint
from control_plane.monitors.commands import (
    AcknowledgeDrift,
    ChangeMonitor,
    CreateMonitor,
    FixReference,
    LeaveOut,
    PauseMonitor,
    RemoveMonitor,
    ResumeMonitor,
)
from control_plane.monitors.errors import InvalidMonitorError, MonitoredEndpointUnknownError, MonitorNotFoundError
from control_plane.monitors.resources import MONITORS
from control_plane.ports import Catalogue, Loaded, Reply, UnitOfWork
from schemas.documents.endpoints import Endpoint
from schemas.documents.monitors import Monitor
from schemas.events.monitors import Look
from schemas.identifiers import Kind, kind_of

_OK, _CREATED = 200, 201


def create_monitor(unit: UnitOfWork, command: CreateMonitor) -> Reply:
    """Have an endpoint watched; the catalogue refuses a name that is taken."""
    endpoint = _endpoint(unit.catalogue, command.endpoint, workspace=unit.actor.workspace)
    shadows = () if endpoint.shadow is None else (endpoint.shadow.deployment_id,)
    events = aggregate.create(
        command,
        WatchedEndpoint(id=endpoint.id, name=endpoint.name, shadows=shadows),
        deployment_ids=_deployments_of_reference(endpoint, command.reference.deployments),
        now_ms=unit.now_ms,
    )
    return _appended(unit, unit.new_id(Kind.MONITOR), Loaded(None, 0), events, status=_CREATED)


def change_monitor(unit: UnitOfWork, monitor: str, command: ChangeMonitor) -> Reply:
    """Change what is named."""
    return _decided(unit, monitor, lambda state: aggregate.change(state, command, now_ms=unit.now_ms))


def pause_monitor(unit: UnitOfWork, monitor: str, command: PauseMonitor) -> Reply:
    """Stop the looks."""
    return _decided(unit, monitor, lambda state: aggregate.pause(state, command))


def resume_monitor(unit: UnitOfWork, monitor: str, command: ResumeMonitor) -> Reply:
    """Let the looks go on."""
    return _decided(unit, monitor, lambda state: aggregate.resume(state, command, now_ms=unit.now_ms))


def acknowledge_drift(unit: UnitOfWork, monitor: str, command: AcknowledgeDrift) -> Reply:
    """Note that someone has seen to a drift."""
    return _decided(unit, monitor, lambda state: aggregate.acknowledge(state, command, now_ms=unit.now_ms))


def remove_monitor(unit: UnitOfWork, monitor: str, command: RemoveMonitor) -> Reply:
    """Remove the monitor; the answer is what it was."""
    before, state = _load(unit, monitor)
    after = unit.append(MONITORS, state.id, expected_version=before.version, events=aggregate.remove(state, command))
    return Reply(status=_OK, body=msgspec.json.encode(state), stream_version=after.version)


def fix_reference(unit: UnitOfWork, monitor: str, command: FixReference) -> Reply:
    """Note which windows are the reference."""
    return _decided(unit, monitor, lambda state: aggregate.fix_reference(state, command))


def leave_out(unit: UnitOfWork, monitor: str, command: LeaveOut) -> Reply:
    """Note which deployments are shadows."""
    return _decided(unit, monitor, lambda state: aggregate.leave_out(state, command, now_ms=unit.now_ms))


def judge_look(unit: UnitOfWork, monitor: str, look: Look) -> Reply:
    """Conclude from a look; the answer says what the monitor answers, also where nothing is written."""
    return _decided(unit, monitor, lambda state: aggregate.judge(state, look, now_ms=unit.now_ms))


def monitor_id_of(catalogue: Catalogue, monitor: str, *, workspace: str) -> str:
    """Return the id of a monitor that is given by its name or id.

    Raises:
        MonitorNotFoundError: no monitor has this name.
    """
    if kind_of(monitor) is Kind.MONITOR:
        return monitor
    found = catalogue.id_of(Kind.MONITOR, monitor, workspace=workspace)
    if found is None:
        raise MonitorNotFoundError(monitor)
    return found


def _endpoint(catalogue: Catalogue, name: str, *, workspace: str) -> Endpoint:
    found = name if kind_of(name) is Kind.ENDPOINT else catalogue.id_of(Kind.ENDPOINT, name, workspace=workspace)
    row = None if found is None else catalogue.get(Kind.ENDPOINT, found, workspace=workspace)
    if row is None:
        raise MonitoredEndpointUnknownError(name)
    return msgspec.json.decode(row.body, type=Endpoint)


def _deployments_of_reference(endpoint: Endpoint, named: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of deployments that are named, or of those that have a share of the traffic."""
    if not named:
        serving = tuple(each.deployment_id for each in endpoint.allocations)
        if serving:
            return serving
        raise InvalidMonitorError(
            f"endpoint {endpoint.name} has no traffic yet",
            field="reference.deployments",
            remedy="name the deployments that the reference is of",
        )
    known = {each.id: each.id for each in endpoint.deployments}
    known |= {f"{each.version.model_name}/{each.version.number}": each.id for each in endpoint.deployments}
    for each in named:
        if each not in known:
            raise InvalidMonitorError(
                f"endpoint {endpoint.name} has no deployment {each}",
                field="reference.deployments",
                remedy=f"name some of these: {', '.join(sorted(known)[:10])}",
            )
    return tuple(dict.fromkeys(known[each] for each in named))


def _decided(unit: UnitOfWork, monitor: str, decide: Callable[[Monitor], Sequence[msgspec.Struct]]) -> Reply:
    before, state = _load(unit, monitor)
    return _appended(unit, state.id, before, decide(state), status=_OK)


def _load(unit: UnitOfWork, monitor: str) -> tuple[Loaded[Monitor | None], Monitor]:
    before = unit.load(MONITORS, monitor_id_of(unit.catalogue, monitor, workspace=unit.actor.workspace))
    if before.state is None:
        raise MonitorNotFoundError(monitor)
    return before, before.state


def _appended(
    unit: UnitOfWork,
    monitor_id: str,
    before: Loaded[Monitor | None],
    events: Sequence[msgspec.Struct],
    *,
    status: int,
) -> Reply:
    after = unit.append(MONITORS, monitor_id, expected_version=before.version, events=events) if events else before
    return Reply(status=status, body=msgspec.json.encode(after.state), stream_version=after.version)
