"""Envoy's bootstrap: what it has to know before the follower configures it."""

from pathlib import Path
from typing import Any

import msgspec

from infra.stack.addresses import LOOPBACK
from serving.gateway import names

_ADS_CLUSTER = "follower"
# Envoy goes through all stats every few seconds, and at each scrape, on the thread that takes its configuration: with
# 1,000 endpoints that were 344,000. What is left out says nothing about Rollbook's clusters: what they do not use, and
# parts of a sum that stays.
_LEFT_OUT = (
    r"cluster\..*\.(circuit_breakers\.high\..*|lb_(subsets|zone|local|recalculate)_.*|default\.total_match_count"
    r"|outlier_detection\.ejections_(detected_.*|enforced_[^t].*|consecutive_5xx|success_rate)"
    r"|assignment_.*|init_fetch_timeout|update_(attempt|duration|empty|no_rebuild|success|time)|version(_text)?"
    r"|warming_state|max_host_weight)"
)

_TYPE = "type.googleapis.com/"


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """The values for one start of Envoy."""

    gateway_id: str
    region: str
    admin_port: int
    ads_port: int
    workers: int
    max_connections: int
    max_heap_bytes: int


def bootstrap_document(values: Bootstrap) -> dict[str, Any]:
    """Return the bootstrap as Envoy reads it.

    Listeners for requests come from the follower, together with the routes: a gateway that knows nothing refuses
    connections rather than answer 404.
    """
    return {
        "node": {"id": values.gateway_id, "cluster": "gateway", "locality": {"region": values.region}},
        "admin": {"address": _loopback(values.admin_port)},
        "dynamic_resources": {
            "ads_config": _ads_config(),
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [_ads_cluster(values.ads_port)], "listeners": [_marker_listener()]},
        "overload_manager": _overload_manager(values),
        "bootstrap_extensions": [_internal_listeners()],
        "stats_config": {
            "stats_matcher": {"exclusion_list": {"patterns": [{"suffix": "_ms"}, {"safe_regex": {"regex": _LEFT_OUT}}]}}
        },
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
    }


def write_bootstrap(folder: Path, values: Bootstrap) -> Path:
    """Write the document beside the logs; JSON is YAML too."""
    path = folder / names.BOOTSTRAP
    path.write_bytes(msgspec.json.format(msgspec.json.encode(bootstrap_document(values))))
    return path


def _ads_config() -> dict[str, Any]:
    # Reconnect to a restarted follower within half a second; the default back-off grows to 30 s.
    quick = {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS_CLUSTER, "retry_policy": quick}}],
    }


def _ads_cluster(port: int) -> dict[str, Any]:
    http2 = {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
    address = {"lb_endpoints": [{"endpoint": {"address": _loopback(port)}}]}
    return {
        "name": _ADS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
        "load_assignment": {"cluster_name": _ADS_CLUSTER, "endpoints": [address]},
    }


def _marker_listener() -> dict[str, Any]:
    # Markers prove that the request log is complete; see `markers`.
    form = {"role": "marker", "worker": "%REQ(:path)%", "end": "%EMIT_TIME(%s%3f)%"}
    log = {"@type": _TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": names.LIVE_LOG}
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 204}}
    router = {"@type": _TYPE + "envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "marker",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "marker", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [{"name": names.ROUTER_FILTER, "typed_config": router}],
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": {**log, "log_format": _json(form)}}],
    }
    network_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": "marker",
        "address": {"pipe": {"path": names.MARKER_SOCKET, "mode": 0o600}},
        "connection_balance_config": {"exact_balance": {}},
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [{"filters": [network_filter]}],
    }


def _internal_listeners() -> dict[str, Any]:
    # Copies of requests come back through a listener without a socket; see `mirrors`.
    config = {"@type": _TYPE + "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}
    return {"name": "envoy.bootstrap.internal_listener", "typed_config": config}


def _json(form: dict[str, str]) -> dict[str, Any]:
    return {"json_format": form}


def _overload_manager(values: Bootstrap) -> dict[str, Any]:
    heap = "envoy.resource_monitors.fixed_heap"
    connections = "envoy.resource_monitors.global_downstream_max_connections"
    package = _TYPE + "envoy.extensions.resource_monitors."
    return {
        "refresh_interval": "0.25s",
        # Streams that hold 1 MiB or more are tracked, so that the largest are reset first.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "resource_monitors": [
            {
                "name": heap,
                "typed_config": {
                    "@type": package + "fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": values.max_heap_bytes,
                },
            },
            {
                "name": connections,
                "typed_config": {
                    "@type": package + "downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": values.max_connections,
                },
            },
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.shrink_heap",
                "triggers": [{"name": heap, "threshold": {"value": 0.9}}],
            },
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [{"name": heap, "scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95}}],
            },
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": heap, "threshold": {"value": 0.97}}],
            },
        ],
    }


def _loopback(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
