"""Routes to the batch server, which keeps OpenAI's files and batches, with the identity from the token.

Only this user can connect to its socket, so it can trust these headers.
"""

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from xds.type.matcher.v3 import string_pb2

from serving.gateway import names
from serving.gateway.protos import metadata, overwrite, seconds

FILES_PATH, BATCHES_PATH = "/v1/files", "/v1/batches"
ROUTED_AS = "/v1"
"""The routing header's value in place of an endpoint's name, which never contains a slash."""
_CONNECT_TIMEOUT_S = 1
_SILENCE_S = 300
_CLAIM = "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:{})%"


def batches_key(workspace: str) -> str:
    """Return the routing header's value for a workspace's files and batches."""
    return f"{workspace}/{ROUTED_AS}".lower()


def batch_routes(workspace: str) -> list[route_pb2.Route]:
    """Send files and batches to their server, for as long as bytes arrive."""
    return [_to_server(path, workspace) for path in (FILES_PATH, BATCHES_PATH)]


def batches_cluster() -> cluster_pb2.Cluster:
    """Build the cluster of the batch server."""
    pipe = address_pb2.Address(pipe=address_pb2.Pipe(path=names.BATCHES_SOCKET))
    server = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=pipe))
    there = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[server])
    return cluster_pb2.Cluster(
        name=names.BATCHES_CLUSTER,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=seconds(_CONNECT_TIMEOUT_S),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=names.BATCHES_CLUSTER, endpoints=[there]),
    )


def is_for_server() -> tuple[string_pb2.StringMatcher, ...]:
    """Match the paths of files and batches: their bodies are for the batch server, and name no model."""
    return tuple(string_pb2.StringMatcher(prefix=path) for path in (FILES_PATH, BATCHES_PATH))


def _to_server(path: str, workspace: str) -> route_pb2.Route:
    return route_pb2.Route(
        match=route_pb2.RouteMatch(path_separated_prefix=path),
        route=route_pb2.RouteAction(
            cluster=names.BATCHES_CLUSTER, timeout=seconds(0), idle_timeout=seconds(_SILENCE_S)
        ),
        metadata=metadata(names.METADATA, workspace=workspace),
        request_headers_to_add=[*_identity()],
        request_headers_to_remove=[names.ROUTE, names.ENDPOINT],
    )


def _identity() -> list[base_pb2.HeaderValueOption]:
    return [
        overwrite(names.WORKSPACE, _CLAIM.format("workspace")),
        overwrite(names.SUBJECT, _CLAIM.format("sub")),
        overwrite(names.SCOPES, _CLAIM.format("endpoints")),
    ]
