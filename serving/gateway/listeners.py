"""The listeners: for callers; a private socket over which the follower probes; and one inside Envoy, for copies."""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.core.v3 import address_pb2, extension_pb2, protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2 as early_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import wrappers_pb2

from serving.gateway import names
from serving.gateway.access_log import request_log
from serving.gateway.body_limit import too_large
from serving.gateway.filters import probe_filters, public_filters, shadow_filters
from serving.gateway.limits import Limits
from serving.gateway.protos import ads, overwrite, packed, seconds
from serving.gateway.replies import local_replies
from serving.gateway.tracing import spans_of_requests
from serving.gateway.unavailable_replies import with_retry_after

_SOCKET_MODE = 0o600


def public_listener(*, host: str, port: int, limits: Limits) -> listener_pb2.Listener:
    """Build the listener for callers. It never names an endpoint or a key, so that changing them never drains it."""
    manager = _manager(names.PUBLIC_LISTENER, log=request_log(role=names.PRIMARY_ROLE), limits=limits)
    manager.http_filters.extend(public_filters(max_body_bytes=limits.max_body_bytes))
    manager.early_header_mutation_extensions.append(_strip_claims_of_clients())
    if limits.otlp_endpoint:
        manager.tracing.CopyFrom(spans_of_requests(limits.otlp_endpoint))
        # Otherwise Envoy would sample by the request id, which we do not use, and trace nothing.
        by_caller = uuid_pb2.UuidRequestIdConfig(use_request_id_for_trace_sampling=wrappers_pb2.BoolValue(value=False))
        manager.request_id_extension.typed_config.CopyFrom(packed(by_caller))
    manager.use_remote_address.value = True
    manager.skip_xff_append = True
    return listener_pb2.Listener(
        name=names.PUBLIC_LISTENER,
        address=address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port)),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(value=limits.buffer_bytes),
        filter_chains=[_chain(manager)],
    )


def probe_listener() -> listener_pb2.Listener:
    """Build the private listener: the same routes on the same workers, reachable by the same user only."""
    manager = _manager(names.PROBE_LISTENER, log=request_log(role=names.PROBE_ROLE), limits=Limits())
    manager.http_filters.extend(probe_filters())
    pipe = address_pb2.Pipe(path=names.PROBE_SOCKET, mode=_SOCKET_MODE)
    return listener_pb2.Listener(
        name=names.PROBE_LISTENER,
        address=address_pb2.Address(pipe=pipe),
        filter_chains=[_chain(manager)],
    )


def shadow_listener(*, limits: Limits) -> listener_pb2.Listener:
    """Build the listener through which copies of requests come back; it only exists in Envoy's memory."""
    manager = _manager(names.SHADOW_LISTENER, log=request_log(role=names.SHADOW_ROLE), limits=limits)
    manager.http_filters.extend(shadow_filters())
    return listener_pb2.Listener(
        name=names.SHADOW_LISTENER,
        internal_listener=listener_pb2.Listener.InternalListenerConfig(),
        per_connection_buffer_limit_bytes=wrappers_pb2.UInt32Value(value=limits.max_body_bytes),
        filter_chains=[_chain(manager)],
    )


def _manager(name: str, *, log: accesslog_pb2.AccessLog, limits: Limits) -> hcm_pb2.HttpConnectionManager:
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=name,
        scoped_routes=_routes_by_header(),
        access_log=[log],
        generate_request_id=wrappers_pb2.BoolValue(value=False),
        normalize_path=wrappers_pb2.BoolValue(value=True),
        merge_slashes=True,
        max_request_headers_kb=wrappers_pb2.UInt32Value(value=limits.headers_kib),
        request_headers_timeout=seconds(limits.headers_s),
        request_timeout=seconds(limits.receive_s),
        stream_idle_timeout=seconds(limits.silence_s),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=seconds(limits.idle_s),
            max_headers_count=wrappers_pb2.UInt32Value(value=limits.headers_count),
        ),
        server_name="rollbook",
        local_reply_config=with_retry_after(local_replies(too_large=too_large(max_body_bytes=limits.max_body_bytes))),
    )


def _routes_by_header() -> hcm_pb2.ScopedRoutes:
    # One scope per endpoint rather than one virtual host: if one virtual host changes, Envoy rebuilds all of the
    # table's (measured: 240 ms of CPU with a thousand), but only a single scope.
    builder = hcm_pb2.ScopedRoutes.ScopeKeyBuilder
    whole_header = builder.FragmentBuilder.HeaderValueExtractor(name=names.ROUTE, index=0)
    return hcm_pb2.ScopedRoutes(
        name=names.ROUTES,
        scope_key_builder=builder(fragments=[builder.FragmentBuilder(header_value_extractor=whole_header)]),
        rds_config_source=ads(),
        scoped_rds=hcm_pb2.ScopedRds(scoped_rds_config_source=ads()),
    )


def _chain(manager: hcm_pb2.HttpConnectionManager) -> listener_components_pb2.FilterChain:
    network_filter = listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
    )
    return listener_components_pb2.FilterChain(filters=[network_filter])


def _strip_claims_of_clients() -> extension_pb2.TypedExtensionConfig:
    # Early, before routes are first evaluated: a client's routing or Host header must not choose one.
    removed = [rules_pb2.HeaderMutation(remove=name) for name in names.NOT_FROM_CLIENTS]
    envoys_own = string_pb2.StringMatcher(prefix="x-envoy-")
    removed.append(
        rules_pb2.HeaderMutation(remove_on_match=rules_pb2.HeaderMutation.RemoveOnMatch(key_matcher=envoys_own))
    )
    nowhere = rules_pb2.HeaderMutation(append=overwrite(names.ROUTE, "/"))
    return extension_pb2.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=packed(early_pb2.HeaderMutation(mutations=[*removed, nowhere])),
    )
