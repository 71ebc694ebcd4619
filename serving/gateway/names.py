"""Names that the gateway's parts share: headers, filters, files and xDS types."""

ROUTES = "inference"
PUBLIC_LISTENER = "public"
PROBE_LISTENER = "probe"
SHADOW_LISTENER = "shadow"
COPIES_CLUSTER = "copies"
"""A listener inside Envoy, without a socket, for the copies of requests that a shadow gets."""

BATCHES_CLUSTER = "batches"
"""The server of OpenAI's files and batches, on a socket on this machine."""

PREDICTION_ID = "x-prediction-id"
SUBJECT = "x-rollbook-subject"
"""The token's subject; only used between a filter and the choice of a bucket."""
ENDPOINT = "x-rollbook-endpoint"
GRPC_MODEL = "x-rollbook-grpc-model"
"""The model's name in a gRPC message; only used between two filters."""
SCOPES = "x-rollbook-scopes"
"""The endpoints that a token may call, as JSON; only for the batch server."""
ROUTE = "x-rollbook-route"
MODEL = "x-rollbook-model"
"""The `model` field of a caller's body: an endpoint, possibly with a version."""
REQUEST_ID = "x-request-id"
ROLE = "x-rollbook-role"
COPY_TO = "x-rollbook-copy-to"
"""The cluster that a copy of a request is for; only used inside the gateway."""
VERSION = "x-rollbook-version"
DEPLOYMENT = "x-rollbook-deployment"
EPOCH = "x-rollbook-epoch"
REGION = "x-rollbook-region"
INSTANCE = "x-rollbook-instance"
WORKSPACE = "x-rollbook-workspace"
PROBE = "x-rollbook-probe"
REASON = "x-rollbook-reason"
"""A code that says why the gateway did not let a request through to an instance."""
UNANSWERED = "x-rollbook-unanswered"
"""Set by the relay of an external engine: nobody answered, but another instance may."""
HOLD_FULL, HOLD_TIMEOUT = "hold-full", "hold-timeout"

NOT_FROM_CLIENTS = (
    PREDICTION_ID,
    COPY_TO,
    SUBJECT,
    SCOPES,
    ROUTE,
    MODEL,
    GRPC_MODEL,
    ROLE,
    VERSION,
    DEPLOYMENT,
    EPOCH,
    REGION,
    INSTANCE,
    WORKSPACE,
    PROBE,
)
"""Headers that a client could send but nobody may trust; only the gateway sets them."""

PRIMARY_ROLE = "primary"
PROBE_ROLE = "probe"
SHADOW_ROLE = "shadow"
"""Set by the listener that received the request, or when a copy is made, never by a caller."""

METADATA = "rollbook"
"""The namespace of what the gateway knows about a request, route, cluster or instance."""

IDENTITY_FILTER = "rollbook.identity"
TOKEN_FILTER = "rollbook.token"  # noqa: S105 - the name of a filter
REVOCATION_FILTER = "rollbook.revocation"
BODY_LIMIT_FILTER = "rollbook.body_limit"
MODEL_NAME_FILTER = "rollbook.model_name"
MODEL_HEADER_FILTER = "rollbook.model_header"
GRPC_MODEL_FILTER = "rollbook.grpc_model"
GRPC_MODEL_HEADER_FILTER = "rollbook.grpc_model_header"
ENDPOINT_NAME_FILTER = "rollbook.endpoint_name"
ROUTING_HEADER_FILTER = "rollbook.routing_header"
ROUTE_AGAIN_FILTER = "rollbook.route_again"
SCOPE_FILTER = "rollbook.scope"
ROUTER_FILTER = "envoy.filters.http.router"

LIVE_LOG = "current.log"
"""A symbolic link to the current log file, relative to the gateway's directory, where Envoy runs."""
PROBE_SOCKET = "probe.sock"
MARKER_SOCKET = "marker.sock"
HOLD = "hold"
"""The folder of the sockets where requests for sleeping deployments wait, as a path relative to Envoy's folder."""
BATCHES_SOCKET = "../../run/batches.sock"
"""The batch server's socket, relative to Envoy's folder, because the path of a socket has to be short."""
BOOTSTRAP = "envoy.yaml"
STATE = "state.sqlite"
SNAPSHOT = "snapshot.json"
"""Where earlier releases kept the state."""
SHIPPER_POSITION = "shipper-position.json"

_TYPE = "type.googleapis.com/"
CLUSTER_TYPE = _TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE = _TYPE + "envoy.config.listener.v3.Listener"
ROUTE_TYPE = _TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"
FILTER_TYPE = _TYPE + "envoy.config.core.v3.TypedExtensionConfig"
JWT_AUTHN_TYPE = _TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
RBAC_TYPE = _TYPE + "envoy.extensions.filters.http.rbac.v3.RBAC"
