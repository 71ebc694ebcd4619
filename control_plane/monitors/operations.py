"""The operations on monitors."""

from functools import partial

import msgspec

from control_plane.errors import RollbookError
from control_plane.monitors import commands, errors, handlers
from control_plane.monitors.handlers import monitor_id_of
from control_plane.ports import EventStore
from control_plane.web.listing import Page, Paging, page
from infra.operations import (
    DRIFT,
    OPERATORS,
    READERS,
    SERVICES,
    Caller,
    Command,
    Content,
    Handler,
    Operation,
    Operations,
    Question,
)
from schemas.documents.monitors import Monitor
from schemas.events.monitors import Look
from schemas.identifiers import Kind

_CREATED = 201
_KNOWN = (errors.MonitorNotFoundError,)


class FindMonitors(Paging, frozen=True, kw_only=True):
    """Those of one endpoint, by its id or name, or all."""

    endpoint: str = ""


def operations(store: EventStore) -> Operations:
    """Declare them."""
    return Operations("monitors", [*_questions(store), *_operator_commands(), *_watch_commands()])


def find_monitors(store: EventStore, caller: Caller, asked: FindMonitors) -> Page[Monitor]:
    """Return a page of monitors."""
    catalogue = store.catalogue()
    parent_id = None
    if asked.endpoint:
        # An id is no name; and of an endpoint that is not there, there are none.
        named = catalogue.id_of(Kind.ENDPOINT, asked.endpoint, workspace=caller.workspace)
        parent_id = named or asked.endpoint
    rows = catalogue.find(
        Kind.MONITOR, workspace=caller.workspace, parent_id=parent_id, after_id=asked.cursor, limit=asked.size
    )
    return page([msgspec.json.decode(row.body, type=Monitor) for row in rows], asked)


def show_monitor(store: EventStore, caller: Caller, monitor: str) -> Content:
    """Return one of them."""
    catalogue = store.catalogue()
    row = catalogue.get(
        Kind.MONITOR, monitor_id_of(catalogue, monitor, workspace=caller.workspace), workspace=caller.workspace
    )
    if row is None:
        raise errors.MonitorNotFoundError(monitor)
    return Content(body=row.body, version=row.stream_version)


def _questions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/monitors",
            handler=partial(find_monitors, store),
            sdk="monitors.list",
            asks=FindMonitors,
            answers=Page[Monitor],
            roles=READERS,
            summary="List the monitors, oldest first",
        ),
        Question(
            method="GET",
            path="/v1/monitors/{monitor}",
            handler=partial(show_monitor, store),
            sdk="monitors.get",
            answers=Monitor,
            is_tagged=True,
            roles=READERS,
            summary="Get a monitor by its name or id: what it watches, and what it found",
            errors=_KNOWN,
        ),
    ]


def _operator_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/monitors",
            handler=handlers.create_monitor,
            sdk="monitors.create",
            asks=commands.CreateMonitor,
            answers=Monitor,
            status=_CREATED,
            roles=OPERATORS,
            summary="Watch an endpoint for drift, with a budget for false alarms",
            errors=(errors.MonitoredEndpointUnknownError, errors.InvalidMonitorError),
        ),
        Command(
            method="POST",
            path="/v1/monitors/{monitor}/change",
            handler=handlers.change_monitor,
            sdk="monitors.change",
            asks=commands.ChangeMonitor,
            answers=Monitor,
            roles=OPERATORS,
            summary="Change what a monitor watches; its evidence begins anew",
            errors=(*_KNOWN, errors.InvalidMonitorError, errors.DriftUnacknowledgedError),
        ),
        _command("pause", handlers.pause_monitor, commands.PauseMonitor, "Stop the looks of a monitor"),
        _command("resume", handlers.resume_monitor, commands.ResumeMonitor, "Let a paused monitor look again"),
        _command(
            "acknowledge",
            handlers.acknowledge_drift,
            commands.AcknowledgeDrift,
            "Acknowledge a drift, and gather evidence anew",
            errors.NothingToAcknowledgeError,
        ),
        _command("remove", handlers.remove_monitor, commands.RemoveMonitor, "Remove a monitor"),
    ]


def _command(
    verb: str,
    handler: Handler,
    asks: type[msgspec.Struct],
    summary: str,
    *refusals: type[RollbookError],
) -> Operation:
    return Command(
        method="POST",
        path=f"/v1/monitors/{{monitor}}/{verb}",
        handler=handler,
        sdk=f"monitors.{verb}",
        asks=asks,
        answers=Monitor,
        roles=OPERATORS,
        summary=summary,
        errors=(*_KNOWN, *refusals),
    )


def _watch_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/monitors/{monitor}/reference",
            handler=handlers.fix_reference,
            name="fix_reference",
            asks=commands.FixReference,
            answers=Monitor,
            roles=SERVICES,
            duties=DRIFT,
            is_for_installation=True,
            summary="Report which windows a monitor's reference has",
            errors=(*_KNOWN, errors.MonitorPhaseError, errors.LookDiffersError),
        ),
        Command(
            method="POST",
            path="/v1/monitors/{monitor}/left-out",
            handler=handlers.leave_out,
            name="leave_out_shadows",
            asks=commands.LeaveOut,
            answers=Monitor,
            roles=SERVICES,
            duties=DRIFT,
            is_for_installation=True,
            summary="Report which deployments of a monitor's endpoint are shadows",
            errors=_KNOWN,
        ),
        Command(
            method="POST",
            path="/v1/monitors/{monitor}/looks",
            handler=handlers.judge_look,
            name="judge_look",
            asks=Look,
            answers=Monitor,
            roles=SERVICES,
            duties=DRIFT,
            is_for_installation=True,
            summary="Report what was measured over the windows of a monitor, and get its answer",
            errors=(*_KNOWN, errors.MonitorPhaseError, errors.LookDiffersError),
        ),
    ]
