"""The operations on maintenance of endpoints."""

from functools import partial

import msgspec

from control_plane.maintenance import commands, errors, handlers
from control_plane.maintenance.aggregate import Maintenance
from control_plane.ports import EventStore
from control_plane.web.listing import Page, Paging, page
from infra.operations import OPERATORS, READERS, Caller, Command, Content, Operation, Operations, Question
from schemas.identifiers import Kind

_CREATED = 201


class FindMaintenance(Paging, frozen=True, kw_only=True):
    """That in a phase, or all."""

    phase: str = ""


def operations(store: EventStore) -> Operations:
    """Declare them."""
    return Operations("maintenance", [*_commands(), *_questions(store)])


def find_maintenance(store: EventStore, caller: Caller, asked: FindMaintenance) -> Page[Maintenance]:
    """Return a page of what was announced."""
    phases = (asked.phase,) if asked.phase else ()
    rows = store.catalogue().find(
        Kind.MAINTENANCE, workspace=caller.workspace, phases=phases, after_id=asked.cursor, limit=asked.size
    )
    return page([msgspec.json.decode(row.body, type=Maintenance) for row in rows], asked)


def show_maintenance(store: EventStore, caller: Caller, maintenance_id: str) -> Content:
    """Return one of them."""
    row = store.catalogue().get(Kind.MAINTENANCE, maintenance_id, workspace=caller.workspace)
    if row is None:
        raise errors.MaintenanceNotFoundError(maintenance_id)
    return Content(body=row.body, version=row.stream_version)


def _commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/maintenance",
            handler=handlers.announce_maintenance,
            sdk="maintenance.announce",
            asks=commands.AnnounceMaintenance,
            answers=Maintenance,
            status=_CREATED,
            roles=OPERATORS,
            summary="Announce that an endpoint will be out of service",
            errors=(errors.MaintenanceEndpointUnknownError,),
        ),
        Command(
            method="POST",
            path="/v1/maintenance/{maintenance_id}/begin",
            handler=handlers.begin_maintenance,
            sdk="maintenance.begin",
            asks=commands.BeginMaintenance,
            answers=Maintenance,
            roles=OPERATORS,
            summary="Begin maintenance",
            errors=(errors.MaintenanceNotFoundError, errors.MaintenanceOverError),
        ),
        Command(
            method="POST",
            path="/v1/maintenance/{maintenance_id}/end",
            handler=handlers.end_maintenance,
            sdk="maintenance.end",
            asks=commands.EndMaintenance,
            answers=Maintenance,
            roles=OPERATORS,
            summary="End maintenance",
            errors=(errors.MaintenanceNotFoundError, errors.MaintenanceNotBegunError),
        ),
    ]


def _questions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/maintenance",
            handler=partial(find_maintenance, store),
            sdk="maintenance.list",
            asks=FindMaintenance,
            answers=Page[Maintenance],
            roles=READERS,
            summary="List maintenance, oldest announcement first",
        ),
        Question(
            method="GET",
            path="/v1/maintenance/{maintenance_id}",
            handler=partial(show_maintenance, store),
            sdk="maintenance.get",
            answers=Maintenance,
            is_tagged=True,
            roles=READERS,
            summary="Get maintenance by its id",
            errors=(errors.MaintenanceNotFoundError,),
        ),
    ]
