"""One function a command: load, decide, append, answer. The rules are in the aggregate."""

from collections.abc import Callable, Sequence

import msgspec

from control_plane.maintenance import aggregate
from control_plane.maintenance.aggregate import MAINTENANCES, Maintenance
from control_plane.maintenance.commands import AnnounceMaintenance, BeginMaintenance, EndMaintenance
from control_plane.maintenance.errors import MaintenanceEndpointUnknownError, MaintenanceNotFoundError
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.identifiers import Kind

_OK, _CREATED = 200, 201


def announce_maintenance(unit: UnitOfWork, command: AnnounceMaintenance) -> Reply:
    """Announce maintenance of an endpoint that exists."""
    endpoint_id = unit.catalogue.id_of(Kind.ENDPOINT, command.endpoint, workspace=unit.actor.workspace)
    if endpoint_id is None:
        raise MaintenanceEndpointUnknownError(command.endpoint)
    maintenance_id = unit.new_id(Kind.MAINTENANCE)
    events = aggregate.announce(command, endpoint_id=endpoint_id, now_ms=unit.now_ms)
    return _appended(unit, maintenance_id, unit.load(MAINTENANCES, maintenance_id), events, status=_CREATED)


def begin_maintenance(unit: UnitOfWork, maintenance_id: str, command: BeginMaintenance) -> Reply:
    """Note that the endpoint is out of service."""
    return _decided(unit, maintenance_id, lambda state: aggregate.begin(state, command))


def end_maintenance(unit: UnitOfWork, maintenance_id: str, command: EndMaintenance) -> Reply:
    """Note that it is back."""
    return _decided(unit, maintenance_id, lambda state: aggregate.end(state, command))


def _decided(unit: UnitOfWork, maintenance_id: str, decide: Callable[[Maintenance], Sequence[msgspec.Struct]]) -> Reply:
    before = unit.load(MAINTENANCES, maintenance_id)
    if before.version == 0:
        raise MaintenanceNotFoundError(maintenance_id)
    return _appended(unit, maintenance_id, before, decide(before.state), status=_OK)


def _appended(
    unit: UnitOfWork,
    maintenance_id: str,
    before: Loaded[Maintenance],
    events: Sequence[msgspec.Struct],
    *,
    status: int,
) -> Reply:
    after = unit.append(MAINTENANCES, maintenance_id, expected_version=before.version, events=events)
    return Reply(status=status, body=msgspec.json.encode(after.state), stream_version=after.version)
