"""GET /v1/snapshots/serving: where gateways and agents start, with the position from which they tail the log.

The position is read before the rows, so the rows may be newer than it says, never older; a consumer drops what it has
seen by stream version.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Router, get

from control_plane.endpoints.queries import ServingEndpoint, serving
from control_plane.endpoints.resources import InstanceRow
from control_plane.inference_tokens.mint import InferenceTokenMint, KeySet
from control_plane.ports import EventStore
from control_plane.registry.queries import aliases_of_models
from control_plane.web.authentication import Authentication, actor_of


class ServingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What gateways and agents start from."""

    position: int
    endpoints: tuple[ServingEndpoint, ...]
    instances: tuple[InstanceRow, ...]
    aliases: dict[str, dict[str, str]]
    """The version that an alias names, by the model's id and the alias."""
    jwks: KeySet
    revoked_subjects: tuple[str, ...]


def router(
    authentication: Authentication,
    store: EventStore,
    *,
    mint: InferenceTokenMint,
    revoked_subjects: Callable[[], tuple[str, ...]],
) -> Router:
    """Build the routes."""
    guards = [authentication.at_least("viewer", or_service=True)]

    @get(
        "/snapshots/serving",
        guards=guards,
        summary="Endpoints, deployments, traffic and instances",
        sync_to_thread=True,
    )
    def serving_snapshot(request: Request[Any, Any, Any]) -> ServingSnapshot:
        position, workspace = store.head(), actor_of(request).workspace
        now = serving(store.catalogue(), workspace=workspace)
        return ServingSnapshot(
            position=position,
            endpoints=now.endpoints,
            instances=now.instances,
            aliases=aliases_of_models(store.catalogue(), workspace=workspace),
            jwks=mint.key_set(revoked_subjects=revoked_subjects()),
            revoked_subjects=revoked_subjects(),
        )

    return Router(path="/v1", route_handlers=[serving_snapshot], tags=["log"])
