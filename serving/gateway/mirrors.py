"""Shadow traffic: copies of requests for a version whose answers nobody gets.

Envoy makes the copy and discards its answer, so nothing that a shadow does reaches a caller. A copy comes back into the
gateway through a listener inside Envoy, which writes a request record for it like for any other, with the role `shadow`
and the prediction id of the original request.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, wrappers_pb2

from serving.gateway import names
from serving.gateway.protos import literal, overwrite, packed, seconds
from serving.gateway.routing_state import EndpointRoute, Shadow

# Concurrent copies: for all shadows of a gateway, and for one shadow. Others are rejected and recorded as such, so a
# shadow that hangs costs a bounded amount of memory, and no copies of another shadow.
_MAX_COPIES = 4_096
_MAX_COPIES_OF_ONE = 256
_MAX_PENDING_OF_ONE = 64
_CONNECT_TIMEOUT_S = 1
_MILLION = 1_000_000
_PER_PERCENT = _MILLION // 100
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def copies_cluster() -> cluster_pb2.Cluster:
    """Build the cluster through which all copies come back into the gateway."""
    listener = address_pb2.EnvoyInternalAddress(server_listener_name=names.SHADOW_LISTENER)
    address = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=address_pb2.Address(envoy_internal_address=listener))
    )
    return cluster_pb2.Cluster(
        name=names.COPIES_CLUSTER,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=seconds(_CONNECT_TIMEOUT_S),
        circuit_breakers=_limits(_MAX_COPIES, pending=_MAX_COPIES),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=names.COPIES_CLUSTER,
            endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[address])],
        ),
        # HTTP/2 carries copies of REST and of gRPC alike.
        typed_extension_protocol_options={_PROTOCOL: _http2()},
    )


def shadow_name(deployment_id: str) -> str:
    """Return the name of a shadow's own cluster; ids contain no tilde."""
    return f"{deployment_id}~shadow"


def shadow_cluster(rest: cluster_pb2.Cluster) -> cluster_pb2.Cluster:
    """Build a shadow's cluster from its deployment's, with limits for requests that nobody waits for.

    It is a separate cluster because Envoy has to warm a cluster again when its limits change.
    """
    cluster = cluster_pb2.Cluster()
    cluster.CopyFrom(rest)
    cluster.name = shadow_name(rest.name)
    cluster.circuit_breakers.CopyFrom(_limits(_MAX_COPIES_OF_ONE, pending=_MAX_PENDING_OF_ONE))
    return cluster


def shadow_assignment(rest: endpoint_pb2.ClusterLoadAssignment) -> endpoint_pb2.ClusterLoadAssignment:
    """List the same instances for that cluster."""
    assignment = endpoint_pb2.ClusterLoadAssignment()
    assignment.CopyFrom(rest)
    assignment.cluster_name = shadow_name(rest.cluster_name)
    return assignment


def mirrored(routes: Iterable[route_pb2.Route], endpoint: EndpointRoute, *, key: str) -> list[route_pb2.Route]:
    """Have the routes that serve requests copy them, if the endpoint has a shadow that can take the copies."""
    copies = []
    for route in routes:
        copy = route_pb2.Route()
        copy.CopyFrom(route)
        if endpoint.shadow and endpoint.shadow.is_warm and _reaches_engines(route):
            target = shadow_name(endpoint.shadow.deployment_id) + _suffix(route)
            copy.route.request_mirror_policies.append(_mirror(endpoint.shadow, target=target, key=key))
        copies.append(copy)
    return copies


def shadow_routes(serving: Sequence[route_pb2.Route], endpoint: EndpointRoute) -> list[route_pb2.Route]:
    """Build the routes of copies from those of the requests.

    A copy in progress while the shadow is removed must not be served as a request, so it ends here.
    """
    if endpoint.shadow is None:
        return [_ended(serving)]
    copied = filter(_reaches_engines, serving)
    return [*(_to_shadow(route, endpoint, endpoint.shadow) for route in copied), _ended(serving)]


def _reaches_engines(route: route_pb2.Route) -> bool:
    """Tell a route that serves from one that rejects a protocol that the engine does not support."""
    return bool(route.HasField("route"))


def _mirror(shadow: Shadow, *, target: str, key: str) -> route_pb2.RouteAction.RequestMirrorPolicy:
    fraction = percent_pb2.FractionalPercent(
        numerator=round(shadow.percent * _PER_PERCENT), denominator=percent_pb2.FractionalPercent.MILLION
    )
    # The request is copied as the engine gets it, with the headers of the deployment that answers.
    marks = {names.ROLE: names.SHADOW_ROLE, names.ROUTE: key, names.COPY_TO: target}
    return route_pb2.RouteAction.RequestMirrorPolicy(
        cluster=names.COPIES_CLUSTER,
        runtime_fraction=base_pb2.RuntimeFractionalPercent(default_value=fraction),
        trace_sampled=wrappers_pb2.BoolValue(value=False),
        disable_shadow_host_suffix_append=True,
        request_headers_mutations=[
            rules_pb2.HeaderMutation(append=overwrite(name, literal(value))) for name, value in marks.items()
        ],
    )


def _to_shadow(serving: route_pb2.Route, endpoint: EndpointRoute, shadow: Shadow) -> route_pb2.Route:
    route = route_pb2.Route()
    route.CopyFrom(serving)
    route.match.headers.append(_is_copy())
    # A copy is sent once, so that the version is measured and not the gateway's second attempt.
    for field in ("weighted_clusters", "hash_policy", "retry_policy", "request_mirror_policies"):
        route.route.ClearField(field)
    # By a header, because Envoy rejects a route that names a missing cluster: whatever happens to a shadow, the
    # endpoint's route stays valid.
    route.route.cluster_header = names.COPY_TO
    route.request_headers_to_remove.append(names.COPY_TO)
    version = endpoint.deployments[shadow.deployment_id]
    route.request_headers_to_add.extend(
        [
            overwrite(names.DEPLOYMENT, shadow.deployment_id),
            overwrite(names.VERSION, literal(f"{version.model_name}/{version.number}")),
        ]
    )
    return route


def _ended(serving: Sequence[route_pb2.Route]) -> route_pb2.Route:
    return route_pb2.Route(
        match=route_pb2.RouteMatch(prefix="/", headers=[_is_copy()]),
        direct_response=route_pb2.DirectResponseAction(status=HTTPStatus.GONE),
        metadata=serving[0].metadata,
    )


def _is_copy() -> route_pb2.HeaderMatcher:
    return route_pb2.HeaderMatcher(name=names.ROLE, string_match=string_pb2.StringMatcher(exact=names.SHADOW_ROLE))


def _suffix(serving: route_pb2.Route) -> str:
    """Return the suffix of this route's protocol, which follows the deployment's id in the cluster's name."""
    cluster: str = serving.route.weighted_clusters.clusters[0].name
    _, tilde, protocol = cluster.partition("~")
    return tilde + protocol


def _limits(limit: int, *, pending: int) -> circuit_breaker_pb2.CircuitBreakers:
    bound = wrappers_pb2.UInt32Value(value=limit)
    return circuit_breaker_pb2.CircuitBreakers(
        thresholds=[
            circuit_breaker_pb2.CircuitBreakers.Thresholds(
                max_connections=bound,
                max_pending_requests=wrappers_pb2.UInt32Value(value=pending),
                max_requests=bound,
            )
        ]
    )


def _http2() -> any_pb2.Any:
    http2 = http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions()
    )
    return packed(http_protocol_options_pb2.HttpProtocolOptions(explicit_http_config=http2))
