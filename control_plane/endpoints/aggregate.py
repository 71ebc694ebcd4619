"""The endpoint: one stream, whose parts follow its events in tables of their own."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from control_plane.endpoints import errors
from control_plane.endpoints.assignment.state import ASSIGNMENT_FOLDS
from control_plane.endpoints.capture.state import CAPTURE_FOLDS, Capture
from control_plane.endpoints.commands import CreateEndpoint
from control_plane.endpoints.deployments.state import DEPLOYMENTS_FOLDS, Deployments
from control_plane.endpoints.failover.state import FAILOVER_FOLDS, Failover
from control_plane.endpoints.folds import Fold, Folds
from control_plane.endpoints.scaling.state import SCALING_FOLDS, Scaling
from control_plane.endpoints.shadow.state import SHADOW_FOLDS
from control_plane.endpoints.traffic.state import TRAFFIC_FOLDS, Traffic
from control_plane.ports import EventContext
from schemas.documents.endpoints import EndpointCore
from schemas.events.endpoints import EndpointCreated, EndpointRemoved

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.IGNORECASE | re.ASCII)


class Endpoint(EndpointCore, frozen=True, kw_only=True):
    """What decisions and the catalogue need of an endpoint: what it was created with, and the state of each part."""

    workspace: str
    salt: str
    is_removed: bool = False
    traffic: Traffic = Traffic()
    deployments: Deployments = Deployments()
    capture: Capture = Capture()
    failover: Failover = Failover()
    scaling: Scaling = Scaling()


NO_ENDPOINT = Endpoint(id="", workspace="", name="", description="", salt="", created_at="", stream_version=0)
"""Before its first event."""


_PARTS: Mapping[str, Folds[Any]] = {
    "traffic": TRAFFIC_FOLDS,
    "deployments": DEPLOYMENTS_FOLDS,
    "capture": CAPTURE_FOLDS,
    "failover": FAILOVER_FOLDS,
    "scaling": SCALING_FOLDS,
    "shadow": SHADOW_FOLDS,
    "assigned_by": ASSIGNMENT_FOLDS,
}
"""The table of each part, by its field of the endpoint."""

FOLDS: Mapping[type[msgspec.Struct], Mapping[str, Fold[Any]]] = {
    kind: {field: table[kind] for field, table in _PARTS.items() if kind in table}
    for kind in {kind for table in _PARTS.values() for kind in table}
}
"""By the type of an event, the fields that follow it, and how. Several parts may follow one event."""


def evolve(state: Endpoint, event: msgspec.Struct, context: EventContext) -> Endpoint:
    """Fold one event; it happened, so nothing is refused here."""
    if isinstance(event, EndpointCreated):
        state = _created(event, context)
    if isinstance(event, EndpointRemoved):
        state = _removed(state)
    changes = {field: fold(getattr(state, field), event, context) for field, fold in FOLDS.get(type(event), {}).items()}
    return msgspec.structs.replace(state, stream_version=context.version, **changes)


def create(command: CreateEndpoint, *, salt: str) -> list[msgspec.Struct]:
    """Create an endpoint without deployments; whether the name is free is the catalogue's knowledge."""
    if not _NAME.fullmatch(command.name):
        raise errors.InvalidNameError(
            f"{command.name!r} is not a valid endpoint name",
            field="name",
            remedy="use 1 to 63 letters, digits, dots, dashes and underscores; begin and end with a letter or digit",
        )
    return [EndpointCreated(name=command.name, description=command.description, salt=salt)]


def _removed(state: Endpoint) -> Endpoint:
    """Return what is left of an endpoint: what it was created with."""
    return Endpoint(
        id=state.id,
        workspace=state.workspace,
        name=state.name,
        description=state.description,
        salt=state.salt,
        created_at=state.created_at,
        stream_version=state.stream_version,
        is_removed=True,
    )


def _created(event: EndpointCreated, context: EventContext) -> Endpoint:
    return Endpoint(
        id=context.stream,
        workspace=context.workspace,
        **msgspec.structs.asdict(event),
        created_at=context.at,
        stream_version=context.version,
    )
