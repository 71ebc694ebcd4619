"""Turns the routing table into xDS resources, each versioned by its content."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

import msgspec
import structlog
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from google.protobuf import any_pb2
from google.protobuf.message import Message

from serving.gateway import names
from serving.gateway.batch_routes import batches_cluster
from serving.gateway.clusters import Comebacks, cluster
from serving.gateway.endpoint_routes import (
    NOWHERE,
    batches_name,
    batches_route,
    endpoint_route,
    models_name,
    models_route,
    nowhere,
)
from serving.gateway.grpc_routing import grpc_assignment, grpc_cluster, grpc_name
from serving.gateway.limits import Limits
from serving.gateway.listeners import probe_listener, public_listener, shadow_listener
from serving.gateway.mirrors import copies_cluster, shadow_assignment, shadow_cluster, shadow_name
from serving.gateway.priorities import load_assignment
from serving.gateway.protos import packed
from serving.gateway.retries import policy_in_force
from serving.gateway.route_documents import Change
from serving.gateway.routing_state import TokenRules
from serving.gateway.routing_table import RoutingTable
from serving.gateway.token_checks import revocation_check, token_check
from serving.gateway.token_rules import keys_of_all
from serving.gateway.tracing import CLUSTER, collector

_DEFAULT_COMEBACKS = Comebacks()

_log = structlog.get_logger(__name__)


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A named resource. The version is a hash of the body, so a restarted follower does not resend what is equal."""

    type_url: str
    name: str
    version: str
    body: any_pb2.Any
    needs: frozenset[str] = frozenset()
    """Clusters that Envoy needs before it gets this resource."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What Envoy should have from now on, and what to remove, as (type, name)."""

    resources: tuple[Resource, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()


def fixed_resources(*, host: str, port: int, limits: Limits) -> Update:
    """Return what no event changes: the listeners, and the path of copies."""
    return Update(
        resources=(
            _resource(names.PUBLIC_LISTENER, public_listener(host=host, port=port, limits=limits)),
            _resource(names.PROBE_LISTENER, probe_listener()),
            _resource(names.SHADOW_LISTENER, shadow_listener(limits=limits)),
            _resource(names.COPIES_CLUSTER, copies_cluster()),
            _resource(names.BATCHES_CLUSTER, batches_cluster()),
            _resource(NOWHERE, nowhere()),
            *([_resource(CLUSTER, collector(limits.otlp_endpoint))] if limits.otlp_endpoint else []),
        )
    )


def everything(table: RoutingTable) -> Change:
    """Name everything in a table, for the first update after a start."""
    deployments = frozenset(part for endpoint in table.endpoints.values() for part in endpoint.deployments)
    return Change(
        endpoints=frozenset(table.endpoints),
        deployments=deployments,
        workspaces=frozenset(endpoint.workspace for endpoint in table.endpoints.values()),
        has_new_tokens=True,
    )


def update_for(change: Change, table: RoutingTable, *, comebacks: Comebacks = _DEFAULT_COMEBACKS) -> Update:
    """Build the resources that a change touches, and no others.

    What cannot be built stays as Envoy has it: a bug with one endpoint must not hold back all the others.
    """
    deployments = table.with_dependents(change.deployments)
    endpoints = change.endpoints | table.endpoints_of(deployments)
    updates = [
        *_build_each(deployments, lambda name: _of_deployment(name, table, comebacks)),
        *_build_each(endpoints, lambda name: _of_endpoint(name, table)),
        *_build_each(change.workspaces, lambda name: _of_workspace(name, table)),
    ]
    return Update(
        resources=(
            *(resource for update in updates for resource in update.resources),
            *(_token_resources(table.tokens) if change.has_new_tokens else ()),
        ),
        removed=tuple(name for update in updates for name in update.removed),
    )


def _build_each(what: Iterable[str], build: Callable[[str], Update]) -> Iterator[Update]:
    for name in sorted(what):
        try:
            yield build(name)
        except Exception:  # noqa: BLE001  one endpoint's outermost level
            _log.exception("resources_not_built", name=name)


def _of_deployment(deployment_id: str, table: RoutingTable, comebacks: Comebacks) -> Update:
    of = table.endpoint_of(deployment_id)
    if of is None:
        return Update(removed=(*_clusters(deployment_id), *_clusters(shadow_name(deployment_id))))
    version = of.deployments[deployment_id]
    rest = cluster(deployment_id, version=version, policy=policy_in_force(of), comebacks=comebacks)
    levels = table.levels_of(deployment_id, endpoint=of)
    held, over_grpc = table.is_held(deployment_id), deployment_id not in of.without_grpc
    assignment = load_assignment(deployment_id, levels, endpoint=of, held=held)
    live = _reachable(rest, assignment, over_grpc=over_grpc)
    if not table.is_shadow(deployment_id):
        return Update(resources=tuple(live), removed=tuple(_clusters(shadow_name(deployment_id))))
    # This version is what is measured: if none of it is left, copies fail.
    own = [level for level in levels if level.deployment_id == deployment_id]
    there = shadow_assignment(load_assignment(deployment_id, own, endpoint=of))
    return Update(resources=(*live, *_reachable(shadow_cluster(rest), there, over_grpc=over_grpc)))


def _of_endpoint(endpoint_id: str, table: RoutingTable) -> Update:
    endpoint = table.endpoints.get(endpoint_id)
    if endpoint is None:
        return Update(removed=((names.ROUTE_TYPE, endpoint_id),))
    # Callers can also name a version without traffic, but Envoy's opinion of it must not hold anything back.
    served = endpoint.served.deployments() if endpoint.served else frozenset()
    needs = served | {grpc_name(deployment_id) for deployment_id in served - endpoint.without_grpc}
    route = endpoint_route(endpoint, levels=table.count_levels(endpoint))
    return Update(resources=(_resource(endpoint_id, route, needs=needs),))


def _of_workspace(workspace: str, table: RoutingTable) -> Update:
    there = [endpoint for endpoint in table.endpoints.values() if endpoint.workspace == workspace]
    models = _resource(models_name(workspace), models_route(workspace, there))
    return Update(resources=(models, _resource(batches_name(workspace), batches_route(workspace))))


def _reachable(
    rest: cluster_pb2.Cluster, there: endpoint_pb2.ClusterLoadAssignment, *, over_grpc: bool
) -> Iterable[Resource]:
    """Yield a cluster for each protocol that the instances support."""
    reachable = [(rest, there), *([(grpc_cluster(rest), grpc_assignment(there))] if over_grpc else [])]
    for cluster_message, instances in reachable:
        yield _resource(cluster_message.name, cluster_message)
        yield _resource(cluster_message.name, instances)


def _clusters(name: str) -> list[tuple[str, str]]:
    both = (name, grpc_name(name))
    return [(kind, each) for each in both for kind in (names.CLUSTER_TYPE, names.ENDPOINTS_TYPE)]


def _token_resources(tokens: TokenRules) -> Iterable[Resource]:
    for name, config in (
        (names.TOKEN_FILTER, token_check(keys_of_all(tokens))),
        (names.REVOCATION_FILTER, revocation_check(tokens)),
    ):
        yield _resource(name, extension_pb2.TypedExtensionConfig(name=name, typed_config=packed(config)))


def _resource(name: str, message: Message, *, needs: frozenset[str] = frozenset()) -> Resource:
    body = packed(message)
    version = blake2b(body.value, digest_size=8).hexdigest()
    return Resource(type_url=body.type_url, name=name, version=version, body=body, needs=needs)
