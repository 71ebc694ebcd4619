"""How the document of an endpoint becomes its route, and what of it Envoy has to hear. Pure."""

import msgspec

from schemas.documents.endpoints import Endpoint
from serving.gateway.grpc_routing import speaks_grpc
from serving.gateway.priorities import Home
from serving.gateway.routing_state import Aliases, EndpointRoute
from serving.gateway.version_aliases import aliases_of


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What was touched: the work that follows is in proportion to this, not to the table."""

    endpoints: frozenset[str] = frozenset()
    deployments: frozenset[str] = frozenset()
    workspaces: frozenset[str] = frozenset()
    """Workspaces whose endpoints are others than before."""
    has_new_tokens: bool = False

    def __or__(self, other: "Change") -> "Change":
        return Change(
            endpoints=self.endpoints | other.endpoints,
            deployments=self.deployments | other.deployments,
            workspaces=self.workspaces | other.workspaces,
            has_new_tokens=self.has_new_tokens or other.has_new_tokens,
        )

    def __bool__(self) -> bool:
        return bool(self.endpoints or self.deployments or self.workspaces or self.has_new_tokens)


NOTHING = Change()


def route_of(document: Endpoint, known: EndpointRoute | None, *, aliases: Aliases, home: Home) -> EndpointRoute:
    """Return the route of an endpoint. A deployment that the document has no more stays, marked as removed."""
    known = known or EndpointRoute(document=document)
    there = {each.id: each.version for each in document.deployments}
    removed = frozenset(known.deployments.keys() - there.keys())
    deployments = {key: known.deployments[key] for key in known.deployments if key in removed} | there
    silent = frozenset(each.id for each in document.deployments if not speaks_grpc(each.artifact.format))
    left = {key: regions for key, regions in known.placements.items() if key in removed}
    here = (home.region, home.gateway_id)
    applied = (each.epoch for each in document.applied if (each.region, each.gateway_id) == here)
    shadow = document.shadow
    return msgspec.structs.replace(
        known,
        document=msgspec.structs.replace(document, deployments=()),
        deployments=deployments,
        removed=removed,
        reported_epoch=max(known.reported_epoch, *applied, 0),
        placements=left | {each.id: each.regions for each in document.deployments if each.regions},
        without_grpc=silent | (known.without_grpc & removed),
        has_warm_shadow=known.has_warm_shadow and _shadow_of(known) == (shadow and shadow.deployment_id),
        aliases=aliases_of(deployments, aliases),
    )


def difference(before: EndpointRoute | None, after: EndpointRoute) -> Change:
    """Return what Envoy has to hear, traffic aside: that waits for instances."""
    mine = frozenset({after.id})
    if before is None:
        return Change(endpoints=mine, deployments=frozenset(after.deployments), workspaces=frozenset({after.workspace}))
    added = frozenset(after.deployments.keys() - before.deployments.keys())
    # A route names the versions that callers may choose, before they take a share of the traffic.
    change = Change(endpoints=mine, deployments=added) if added else NOTHING
    if (before.failover, before.holds) != (after.failover, after.holds):
        change |= Change(deployments=frozenset(after.deployments))
    if before.document.shadow != after.document.shadow:
        touched = {each for each in (_shadow_of(before), _shadow_of(after)) if each}
        change |= Change(endpoints=mine, deployments=frozenset(touched))
    if before.assigned_by != after.assigned_by:
        change |= Change(endpoints=mine)
    return change


def _shadow_of(route: EndpointRoute) -> str | None:
    shadow = route.document.shadow
    return shadow.deployment_id if shadow else None
