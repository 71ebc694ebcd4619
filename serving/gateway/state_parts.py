"""The routing state in parts, so that a follower keeps what changed and not everything. Pure: no clock, no I/O."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from schemas.documents.endpoints import Instance
from serving.gateway.routing_state import EndpointRoute, RoutingSnapshot, TokenRules

ENDPOINT, INSTANCE, ALIASES, TOKENS = "endpoint", "instance", "aliases", "tokens"
"""The kinds of parts: an endpoint, an instance, the aliases of one model, and all rules of tokens."""

TYPES: Mapping[str, Any] = {
    ENDPOINT: EndpointRoute,
    INSTANCE: Instance,
    ALIASES: dict[str, str],
    TOKENS: TokenRules,
}

Key = tuple[str, str]
"""The kind and id of a part; the rules of tokens have the id ""."""

Part: TypeAlias = EndpointRoute | Instance | TokenRules | Mapping[str, str]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Parts as they are at a position of the log; None where a part is gone."""

    position: int
    parts: Mapping[Key, Part | None]


def snapshot_of(position: int, parts: Mapping[Key, Any]) -> RoutingSnapshot:
    """Return the state that consists of these parts."""
    by_kind: dict[str, dict[str, Any]] = {kind: {} for kind in TYPES}
    for (kind, identifier), part in parts.items():
        by_kind[kind][identifier] = part
    return RoutingSnapshot(
        position=position,
        endpoints=tuple(by_kind[ENDPOINT].values()),
        instances=tuple(by_kind[INSTANCE].values()),
        tokens=by_kind[TOKENS].get("", TokenRules()),
        aliases=by_kind[ALIASES],
    )
