"""One route resource an endpoint: its weights, its stickiness and what every answer says about where it came from."""

from collections.abc import Sequence
from http import HTTPStatus

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.config.route.v3 import route_pb2 as route_config_pb2
from envoy.config.route.v3 import scoped_route_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import wrappers_pb2

from schemas.events.endpoints import BUCKETS
from serving.gateway import names
from serving.gateway.assignment import assigned_by
from serving.gateway.grpc_routing import grpc_route
from serving.gateway.mirrors import mirrored, shadow_routes
from serving.gateway.protos import metadata, overwrite, seconds
from serving.gateway.provenance import answered_by
from serving.gateway.retries import retry_policy
from serving.gateway.routing_state import EndpointRoute, Traffic
from serving.gateway.token_checks import scope_check

_OIP_PREFIX = "/v2/models/"
NOWHERE = "nowhere"
_REQUEST_TIMEOUT_S = 60
# A retry needs the body kept in memory; larger bodies are sent once.
_RETRY_BODY_BYTES = 1024 * 1024


def endpoint_route(endpoint: EndpointRoute, *, levels: int) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build the endpoint's route; one that serves nothing yet answers 503 with that reason.

    `levels` counts what the retries may go through.
    """
    host = route_pb2.VirtualHost(
        name=endpoint.id,
        domains=["*"],
        routes=_routes(endpoint, levels),
        typed_per_filter_config={
            names.SCOPE_FILTER: scope_check(workspace=endpoint.workspace, endpoint=endpoint.name),
        },
        request_body_buffer_limit=wrappers_pb2.UInt64Value(value=_RETRY_BODY_BYTES),
    )
    return _route(endpoint.id, key=routing_key(endpoint), hosts=[host])


def routing_key(endpoint: EndpointRoute) -> str:
    """Return what the routing header says for the endpoint; names hold no capitals."""
    return f"{endpoint.workspace}/{endpoint.name}".lower()


def nowhere() -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build a route that no caller can name, so that an installation without endpoints has an answer for Envoy too."""
    return _route(NOWHERE, key=NOWHERE, hosts=[])


def _route(name: str, *, key: str, hosts: Sequence[route_pb2.VirtualHost]) -> scoped_route_pb2.ScopedRouteConfiguration:
    fragment = scoped_route_pb2.ScopedRouteConfiguration.Key.Fragment(string_key=key)
    return scoped_route_pb2.ScopedRouteConfiguration(
        name=name,
        key=scoped_route_pb2.ScopedRouteConfiguration.Key(fragments=[fragment]),
        route_configuration=route_config_pb2.RouteConfiguration(name=name, virtual_hosts=hosts),
    )


def _routes(endpoint: EndpointRoute, levels: int) -> list[route_pb2.Route]:
    if endpoint.served is None:
        not_serving = _not_serving(endpoint)
        return [grpc_route(not_serving), not_serving]
    serving = _serving(endpoint, endpoint.served, levels)
    routes = [grpc_route(serving), serving]
    return [
        _probed(endpoint, endpoint.served),
        *shadow_routes(routes, endpoint),
        *mirrored(routes, endpoint, key=routing_key(endpoint)),
    ]


def _probed(endpoint: EndpointRoute, traffic: Traffic) -> route_pb2.Route:
    is_probe = route_pb2.HeaderMatcher(name=names.ROLE, string_match=string_pb2.StringMatcher(exact=names.PROBE_ROLE))
    epoch = str(traffic.epoch)
    return route_pb2.Route(
        match=route_pb2.RouteMatch(prefix="/", headers=[is_probe]),
        direct_response=route_pb2.DirectResponseAction(status=HTTPStatus.NO_CONTENT),
        metadata=_known_of(endpoint, epoch=epoch),
        response_headers_to_add=[overwrite(names.EPOCH, epoch)],
    )


def _serving(endpoint: EndpointRoute, traffic: Traffic, levels: int) -> route_pb2.Route:
    epoch = str(traffic.epoch)
    action = route_pb2.RouteAction(
        weighted_clusters=_shares(traffic),
        hash_policy=[assigned_by(endpoint.assigned_by, salt=endpoint.salt)],
        timeout=seconds(_REQUEST_TIMEOUT_S),
        retry_policy=retry_policy(endpoint.failover, levels=levels),
    )
    return route_pb2.Route(
        match=route_pb2.RouteMatch(prefix=_OIP_PREFIX),
        route=action,
        metadata=_known_of(endpoint, epoch=epoch),
        request_headers_to_add=[overwrite(names.ENDPOINT, endpoint.name), overwrite(names.EPOCH, epoch)],
        request_headers_to_remove=[names.ROUTE, names.SUBJECT],
        response_headers_to_add=[
            overwrite(names.ENDPOINT, endpoint.name),
            overwrite(names.EPOCH, epoch),
            *answered_by(),
        ],
    )


def _not_serving(endpoint: EndpointRoute) -> route_pb2.Route:
    return route_pb2.Route(
        match=route_pb2.RouteMatch(prefix=_OIP_PREFIX),
        direct_response=route_pb2.DirectResponseAction(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            body={"inline_string": "the endpoint has no deployment that is ready"},
        ),
        metadata=_known_of(endpoint, epoch=""),
        response_headers_to_add=[overwrite(names.ENDPOINT, endpoint.name)],
    )


def _known_of(endpoint: EndpointRoute, *, epoch: str) -> base_pb2.Metadata:
    return metadata(
        names.METADATA,
        workspace=endpoint.workspace,
        endpoint_id=endpoint.id,
        endpoint=endpoint.name,
        epoch=epoch,
    )


def _shares(traffic: Traffic) -> route_pb2.WeightedCluster:
    # Envoy walks the list in order and adds up weights: an entry a range, in the order of the ranges, makes the
    # bucket's owner the one that the event names.
    ranges = sorted(
        (part.start, part.end, allocation.deployment_id)
        for allocation in traffic.allocations
        for part in allocation.ranges
    )
    assert sum(end - start for start, end, _ in ranges) == BUCKETS
    return route_pb2.WeightedCluster(
        clusters=[_share(deployment_id, end - start) for start, end, deployment_id in ranges],
        use_hash_policy=wrappers_pb2.BoolValue(value=True),
    )


def _share(deployment_id: str, weight: int) -> route_pb2.WeightedCluster.ClusterWeight:
    return route_pb2.WeightedCluster.ClusterWeight(name=deployment_id, weight=wrappers_pb2.UInt32Value(value=weight))
