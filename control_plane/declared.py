"""Every aggregate of the write side, and every operation of the API, from both sides."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from control_plane.access import operations as access
from control_plane.access.aggregate import PRINCIPALS
from control_plane.access.tokens import TokenIndex
from control_plane.artifacts import operations as artifacts
from control_plane.artifacts.artifact_store import ArtifactStore, ArtifactStores
from control_plane.artifacts.inspection import ArtifactInspector
from control_plane.audit import operations as audit
from control_plane.audit.log_tree import LogTree
from control_plane.batches import operations as batches
from control_plane.batches.resources import BATCHES
from control_plane.endpoints import operations as endpoints
from control_plane.endpoints.instances import process as instances_process
from control_plane.endpoints.queries import some_endpoints
from control_plane.endpoints.resources import ENDPOINTS, INSTANCES
from control_plane.event_feed import operations as event_feed
from control_plane.event_feed.commits import Commits
from control_plane.feedback import operations as feedback
from control_plane.feedback.publisher import FeedbackPublisher
from control_plane.inference_tokens import operations as inference_tokens
from control_plane.inference_tokens.aggregate import KEYRINGS
from control_plane.inference_tokens.mint import InferenceTokenMint
from control_plane.monitors import operations as monitors
from control_plane.monitors.resources import MONITORS
from control_plane.ports import Aggregates, EventStore
from control_plane.processes.process import Process
from control_plane.registry import operations as registry
from control_plane.registry.resources import MODELS, VERSIONS
from control_plane.rollouts import operations as rollouts
from control_plane.rollouts.resources import ROLLOUTS
from control_plane.web import health
from control_plane.workspaces import operations as workspaces
from control_plane.workspaces.aggregate import WORKSPACES
from control_plane.workspaces.directory import WorkspaceDirectory
from infra.background import Background
from infra.clock import Clock
from infra.operations import Operations
from schemas.identifiers import Kind

AGGREGATES: Aggregates = {
    Kind.MODEL: MODELS,
    Kind.VERSION: VERSIONS,
    Kind.ENDPOINT: ENDPOINTS,
    Kind.INSTANCE: INSTANCES,
    Kind.ROLLOUT: ROLLOUTS,
    Kind.PRINCIPAL: PRINCIPALS,
    Kind.KEYRING: KEYRINGS,
    Kind.BATCH: BATCHES,
    Kind.MONITOR: MONITORS,
    Kind.WORKSPACE: WORKSPACES,
}


PROCESSES: Sequence[Process] = (instances_process.PROCESS,)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the write side's operations need."""

    store: EventStore
    files: ArtifactStores
    tokens: TokenIndex
    workspaces: WorkspaceDirectory
    revoked_subjects: Callable[[], tuple[str, ...]]
    mint: InferenceTokenMint
    commits: Commits
    tree: LogTree
    publisher: FeedbackPublisher
    probes: Mapping[str, health.Probe]
    background: Background
    data_dir: Path
    gateway_url: str
    clock: Clock


def declare(parts: Parts, views: Sequence[Operations]) -> list[Operations]:
    """Return the operations of both sides."""
    store, mint, revoked, clock = parts.store, parts.mint, parts.revoked_subjects, parts.clock
    return [
        registry.operations(store, ArtifactInspector(_stores_of(parts))),
        artifacts.operations(parts.files),
        endpoints.operations(store, clock=clock),
        rollouts.operations(store),
        access.operations(store, parts.tokens),
        workspaces.operations(parts.workspaces, furnishing=inference_tokens.furnishing(mint), endpoints=some_endpoints),
        inference_tokens.operations(store, mint, revoked_subjects=revoked, clock=clock),
        batches.operations(store, mint, revoked_subjects=revoked, clock=clock),
        monitors.operations(store),
        event_feed.operations(store, parts.commits, parts.workspaces),
        audit.operations(parts.tree),
        feedback.operations(parts.publisher, clock=clock),
        *views,
        health.operations(
            store,
            parts.probes,
            background=parts.background,
            data_dir=parts.data_dir,
            gateway_url=parts.gateway_url,
            clock=parts.clock,
        ),
    ]


def _stores_of(parts: Parts) -> Callable[[str], ArtifactStore]:
    # Operations are described without any parts, too.
    return lambda workspace: parts.files.of(workspace)  # noqa: PLW0108


def no_parts() -> Parts:
    """Stand on nothing: enough for describing the operations, not for carrying one out."""
    nothing = cast("Any", None)
    return Parts(**dict.fromkeys(Parts.__struct_fields__, nothing))
