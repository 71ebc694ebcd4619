"""The last good state as earlier releases wrote it: in one JSON file, with the format that it is in."""

from collections.abc import Iterable

import msgspec

from schemas.documents.endpoints import Instance
from serving.gateway.routing_state import EndpointRoute, KeptState, RoutingSnapshot

_UNKNOWN_AGENT = "unknown"


class _Format(msgspec.Struct, frozen=True):
    format: int


class _InstanceOfFormat2(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    endpoint_id: str
    deployment_id: str
    host: str
    port: int
    region: str
    zone: str


class _SnapshotOfFormat2(RoutingSnapshot, frozen=True, kw_only=True):
    instances: tuple[_InstanceOfFormat2, ...] = ()  # type: ignore[assignment]


class _StateOfFormat2(msgspec.Struct, frozen=True, kw_only=True):
    read_at_ms: int
    snapshot: _SnapshotOfFormat2


def state_in_one_piece(content: bytes) -> KeptState | None:
    """Return the state that a file holds, or None if it is in a format that is not read any more.

    Raises:
        msgspec.DecodeError: the file is damaged, or not such a state.
    """
    match msgspec.json.decode(content, type=_Format).format:
        case 3:
            return msgspec.json.decode(content, type=KeptState)
        case 2:
            return _from_format_2(msgspec.json.decode(content, type=_StateOfFormat2))
        case _:
            return None


def _from_format_2(state: _StateOfFormat2) -> KeptState:
    old = state.snapshot
    snapshot = RoutingSnapshot(
        position=old.position,
        endpoints=old.endpoints,
        instances=tuple(_completed(old.instances, old.endpoints)),
        tokens=old.tokens,
        aliases=old.aliases,
    )
    return KeptState(read_at_ms=state.read_at_ms, snapshot=snapshot)


def _completed(instances: Iterable[_InstanceOfFormat2], endpoints: Iterable[EndpointRoute]) -> Iterable[Instance]:
    """Add what only documents had: an instance that was kept takes traffic, and its document replaces it once read."""
    workspaces = {endpoint.id: endpoint.workspace for endpoint in endpoints}
    for each in instances:
        yield Instance(
            id=each.id,
            workspace=workspaces.get(each.endpoint_id, ""),
            endpoint_id=each.endpoint_id,
            deployment_id=each.deployment_id,
            agent_id=_UNKNOWN_AGENT,
            phase="announced",
            host=each.host,
            port=each.port,
            region=each.region,
            zone=each.zone,
            created_at="",
            stream_version=0,
        )
