"""Names that the gateway's parts share: headers, filters, files and xDS types."""

ROUTES = "inference"
PUBLIC_LISTENER = "public"
PROBE_LISTENER = "probe"
SHADOW_LISTENER = "shadow"
COPIES_CLUSTER = "copies"
"""Inside Envoy: no socket leads there, only copies of requests, which a shadow gets."""

BATCHES_CLUSTER = "batches"
"""The server of OpenAI's files and batches, at a socket on this machine."""

PREDICTION_ID = "x-prediction-id"
SUBJECT = "x-rollbook-subject"
"""Who a token is for; between a filter and the choice of a bucket only."""
ENDPOINT = "x-rollbook-endpoint"
GRPC_MODEL = "x-rollbook-grpc-model"
"""The model's name in a gRPC message; used between two filters only."""
SCOPES = "x-rollbook-scopes"
"""The endpoints that a token may call, as JSON; for the batch server alone."""
ROUTE = "x-rollbook-route"
MODEL = "x-rollbook-model"
"""What a caller wrote into the `model` field of a body: an endpoint, perhaps with a version."""
REQUEST_ID = "x-request-id"
ROLE = "x-rollbook-role"
COPY_TO = "x-rollbook-copy-to"
"""The cluster that a copy of a request is for; inside the gateway only."""
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
"""Written by the relay of an external engine: no one answered, another instance may."""
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
"""Headers that a client may send but no one may believe; only the gateway writes them."""

PRIMARY_ROLE = "primary"
PROBE_ROLE = "probe"
SHADOW_ROLE = "shadow"
"""Set by the listener that a request came in by, or where a copy is made, never by a caller."""

METADATA = "rollbook"
"""Namespace of what the gateway knows of a request, route, cluster or instance."""

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
"""A symbolic link to the log file being written, relative to the gateway's directory, where Envoy runs."""
PROBE_SOCKET = "probe.sock"
MARKER_SOCKET = "marker.sock"
HOLD = "hold"
"""Folder of the sockets at which requests for sleeping deployments wait; Envoy knows it by this relative path."""
BATCHES_SOCKET = "../../run/batches.sock"
"""The batch server's socket, as Envoy knows it from its own folder: a path of a socket must be short."""
BOOTSTRAP = "envoy.yaml"
SNAPSHOT = "snapshot.json"
SHIPPER_POSITION = "shipper-position.json"

_TYPE = "type.googleapis.com/"
CLUSTER_TYPE = _TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE = _TYPE + "envoy.config.listener.v3.Listener"
ROUTE_TYPE = _TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"
FILTER_TYPE = _TYPE + "envoy.config.core.v3.TypedExtensionConfig"
JWT_AUTHN_TYPE = _TYPE + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
RBAC_TYPE = _TYPE + "envoy.extensions.filters.http.rbac.v3.RBAC"
