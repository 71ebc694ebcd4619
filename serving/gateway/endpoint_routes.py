"""One route resource per endpoint: its weights, its stickiness and what every answer says about its origin."""

from collections.abc import Iterable, Sequence
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
from serving.gateway.batch_routes import batch_routes, batches_key
from serving.gateway.grpc_routing import grpc_route
from serving.gateway.mirrors import mirrored, shadow_routes
from serving.gateway.openai_routes import (
    EVERY_ENDPOINT,
    MAX_LIST_BYTES,
    model_list,
    model_shown,
    models_key,
    names_version,
    version_not_deployed,
)
from serving.gateway.protos import metadata, overwrite, seconds
from serving.gateway.provenance import answered_by
from serving.gateway.replies import OPENAI_PREFIX
from serving.gateway.retries import policy_in_force, retry_policy
from serving.gateway.routing_state import EndpointRoute, Traffic
from serving.gateway.token_checks import scope_check, workspace_check

_OIP_PREFIX = "/v2/models/"
NOWHERE = "nowhere"
_REQUEST_TIMEOUT_S = 60
_SILENCE_S = 300
_MAX_STREAM_S = 3_600
# A retry needs the body in memory; larger bodies are sent once.
_RETRY_BODY_BYTES = 1024 * 1024


def endpoint_route(endpoint: EndpointRoute, *, levels: int) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build the endpoint's route; one that serves nothing yet answers 503 with that reason.

    `levels` counts the levels that retries can go through.
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


def models_route(workspace: str, endpoints: Iterable[EndpointRoute]) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build the list of a workspace's models; only a token for every endpoint may ask for it."""
    host = route_pb2.VirtualHost(
        name=models_name(workspace),
        domains=["*"],
        routes=[model_list(endpoints)],
        typed_per_filter_config={names.SCOPE_FILTER: scope_check(workspace=workspace, endpoint=EVERY_ENDPOINT)},
    )
    return _route(models_name(workspace), key=models_key(workspace), hosts=[host])


def batches_route(workspace: str) -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build the route of a workspace's files and batches; every token of it can use them, whatever it is for."""
    host = route_pb2.VirtualHost(
        name=batches_name(workspace),
        domains=["*"],
        routes=batch_routes(workspace),
        typed_per_filter_config={names.SCOPE_FILTER: workspace_check(workspace)},
    )
    return _route(batches_name(workspace), key=batches_key(workspace), hosts=[host])


def batches_name(workspace: str) -> str:
    """Return the name of the resource that routes a workspace's files and batches."""
    return f"batches.{workspace}"


def models_name(workspace: str) -> str:
    """Return the name of the resource that lists a workspace's models; it cannot be the id of an endpoint."""
    return f"models.{workspace}"


def routing_key(endpoint: EndpointRoute) -> str:
    """Return the routing header's value for the endpoint; names have no capitals."""
    return f"{endpoint.workspace}/{endpoint.name}".lower()


def nowhere() -> scoped_route_pb2.ScopedRouteConfiguration:
    """Build a route that no caller can name, so that Envoy gets an answer even if there are no endpoints."""
    return _route(NOWHERE, key=NOWHERE, hosts=[])


def _route(name: str, *, key: str, hosts: Sequence[route_pb2.VirtualHost]) -> scoped_route_pb2.ScopedRouteConfiguration:
    fragment = scoped_route_pb2.ScopedRouteConfiguration.Key.Fragment(string_key=key)
    return scoped_route_pb2.ScopedRouteConfiguration(
        name=name,
        key=scoped_route_pb2.ScopedRouteConfiguration.Key(fragments=[fragment]),
        route_configuration=route_config_pb2.RouteConfiguration(
            name=name,
            virtual_hosts=hosts,
            # A caller can name a version before Envoy has its cluster, and gets a 503 until then.
            validate_clusters=wrappers_pb2.BoolValue(value=False),
            max_direct_response_body_size_bytes=wrappers_pb2.UInt32Value(value=MAX_LIST_BYTES),
        ),
    )


def _routes(endpoint: EndpointRoute, levels: int) -> list[route_pb2.Route]:
    if endpoint.served is None:
        not_serving = _not_serving(endpoint, prefix=_OIP_PREFIX)
        return [
            grpc_route(not_serving),
            model_shown(endpoint),
            not_serving,
            _not_serving(endpoint, prefix=OPENAI_PREFIX),
        ]
    serving = _serving(endpoint, endpoint.served, levels)
    completing = _as_openai_call(serving)
    routes = [_over_grpc(endpoint, serving), serving, completing]
    first, over_rest, over_openai = mirrored(routes, endpoint, key=routing_key(endpoint))
    return [
        _probed(endpoint, endpoint.served),
        *shadow_routes(routes, endpoint),
        first,
        over_rest,
        model_shown(endpoint),
        *_by_version(endpoint, endpoint.served, levels),
        version_not_deployed(endpoint),
        over_openai,
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
        retry_policy=retry_policy(policy_in_force(endpoint), levels=levels),
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
        response_headers_to_remove=[names.UNANSWERED],
    )


def _by_version(endpoint: EndpointRoute, traffic: Traffic, levels: int) -> list[route_pb2.Route]:
    """Route calls for `endpoint@version` or `endpoint:alias` to that version, whatever the weights.

    They have no epoch: their version was not chosen by the weights, so they say nothing about the split.
    """
    serving = traffic.deployments()
    # If two deployments have the version, the one that takes traffic comes first.
    by_use = sorted(endpoint.deployments.items(), key=lambda item: (item[0] not in serving, item[0]))
    routes: dict[str, route_pb2.Route] = {}
    for deployment_id, version in by_use:
        numbers = (f"@{version.number}", f"@{version.model_name}/{version.number}")
        aliases = (f":{alias}" for alias in endpoint.aliases.get(version.version_id, ()))
        for spelled in (f"{endpoint.name}{selector}" for selector in (*numbers, *aliases)):
            if spelled not in routes:
                routes[spelled] = _pinned(endpoint, deployment_id, spelled, levels=levels)
    return list(routes.values())


def _pinned(endpoint: EndpointRoute, deployment_id: str, spelled: str, *, levels: int) -> route_pb2.Route:
    action = route_pb2.RouteAction(cluster=deployment_id, retry_policy=retry_policy(endpoint.failover, levels=levels))
    route = _as_openai_call(
        route_pb2.Route(
            match=route_pb2.RouteMatch(headers=[names_version(spelled)]),
            route=action,
            metadata=_known_of(endpoint, epoch=""),
            request_headers_to_add=[overwrite(names.ENDPOINT, endpoint.name)],
            request_headers_to_remove=[names.ROUTE, names.SUBJECT],
            response_headers_to_add=[overwrite(names.ENDPOINT, endpoint.name), *answered_by()],
            # An engine must not be able to set the epoch.
            response_headers_to_remove=[names.EPOCH, names.UNANSWERED],
        )
    )
    # Tells the engine that the gateway resolved the name, so that it need not know aliases itself.
    route.request_headers_to_remove.remove(names.MODEL)
    return route


def _as_openai_call(rest: route_pb2.Route) -> route_pb2.Route:
    """Route OpenAI's calls like all others; an answer can be a stream that lasts as long as tokens arrive."""
    route = route_pb2.Route()
    route.CopyFrom(rest)
    route.match.prefix = OPENAI_PREFIX
    route.request_headers_to_add.append(overwrite(names.REQUEST_ID, f"%REQ({names.PREDICTION_ID})%"))
    route.request_headers_to_remove.append(names.MODEL)
    route.route.timeout.CopyFrom(seconds(0))
    route.route.idle_timeout.CopyFrom(seconds(_SILENCE_S))
    route.route.max_stream_duration.max_stream_duration.CopyFrom(seconds(_MAX_STREAM_S))
    return route


def _over_grpc(endpoint: EndpointRoute, serving: route_pb2.Route) -> route_pb2.Route:
    """Route gRPC like REST, unless a version that takes traffic runs in an engine that does not support it."""
    if endpoint.served and endpoint.served.deployments() & endpoint.without_grpc:
        refusing = _not_serving(endpoint, prefix=_OIP_PREFIX)
        refusing.direct_response.status = HTTPStatus.NOT_IMPLEMENTED
        refusing.direct_response.body.inline_string = (
            "a version of the endpoint runs in an engine that does not support gRPC"
        )
        return grpc_route(refusing)
    return grpc_route(serving)


def _not_serving(endpoint: EndpointRoute, *, prefix: str) -> route_pb2.Route:
    return route_pb2.Route(
        match=route_pb2.RouteMatch(prefix=prefix),
        direct_response=route_pb2.DirectResponseAction(
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            body={"inline_string": "the endpoint has no ready deployment"},
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
    # Envoy walks the list in order and adds up weights. With one entry per range, in the order of the ranges, each
    # bucket belongs to the deployment that the event names.
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
