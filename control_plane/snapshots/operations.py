"""GET /v1/snapshots/serving: where gateways and agents start, with the position from which they tail the log.

The position is read before the rows, so the rows may be newer than it says, never older; a consumer drops what it has
seen by stream version.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from control_plane.endpoints.queries import ServingEndpoint, serving
from control_plane.inference_tokens.mint import InferenceTokenMint, KeySet
from control_plane.ports import EventStore
from control_plane.registry.queries import aliases_of_models
from infra.operations import READERS, Caller, Operations, Question
from schemas.documents.endpoints import Instance


class ServingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What gateways and agents start from."""

    position: int
    endpoints: tuple[ServingEndpoint, ...]
    instances: tuple[Instance, ...]
    aliases: dict[str, dict[str, str]]
    """The version that an alias names, by the model's id and the alias."""
    jwks: KeySet
    revoked_subjects: tuple[str, ...]


def operations(
    store: EventStore, mint: InferenceTokenMint, *, revoked_subjects: Callable[[], tuple[str, ...]]
) -> Operations:
    """Declare them."""
    snapshot = Question(
        method="GET",
        path="/v1/snapshots/serving",
        handler=partial(serving_snapshot, store, mint, revoked_subjects),
        answers=ServingSnapshot,
        roles=READERS,
        summary="Read the endpoints, deployments, traffic and instances, as of one position in the log",
    )
    return Operations("log", [snapshot])


def serving_snapshot(
    store: EventStore, mint: InferenceTokenMint, revoked_subjects: Callable[[], tuple[str, ...]], caller: Caller
) -> ServingSnapshot:
    """Return all that is to be served, with the position of the log from which to follow it."""
    position, workspace = store.head(), caller.workspace
    now = serving(store.catalogue(), workspace=workspace)
    return ServingSnapshot(
        position=position,
        endpoints=now.endpoints,
        instances=now.instances,
        aliases=aliases_of_models(store.catalogue(), workspace=workspace),
        jwks=mint.key_set(revoked_subjects=revoked_subjects()),
        revoked_subjects=revoked_subjects(),
    )
