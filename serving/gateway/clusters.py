"""One cluster per deployment: its limits, and when an instance is ejected. Its instances are configured elsewhere."""

from typing import Annotated

import msgspec
from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, wrappers_pb2

from schemas.events.endpoints import FailoverPolicy, VersionReference
from serving.gateway import names
from serving.gateway.protos import ads, metadata, packed, seconds

_CONNECT_TIMEOUT_S = 1
# Shorter than the 5 s after which uvicorn closes an idle connection, so that Envoy is the one to close it.
_UPSTREAM_IDLE_S = 4
_FAILURES_TO_EJECT = 5
_SLOW_START_MIN_PERCENT = 10
# All instances of a level may be gone while the next level still has some.
_MAX_EJECTED_PERCENT = 100
# If all instances of all levels are ejected, all are tried; while one is left, no ejected one is.
_PANIC_BELOW_PERCENT = 1
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Comebacks(msgspec.Struct, frozen=True, kw_only=True):
    """How an instance comes back: how long it is first ejected after failures, and how long until its full share.

    An instance that just came back has cold caches, so its share grows gradually.
    """

    ejection_s: _Seconds = 5
    slow_start_s: _Seconds = 10


def cluster(
    deployment_id: str, *, version: VersionReference, policy: FailoverPolicy, comebacks: Comebacks
) -> cluster_pb2.Cluster:
    """Build the cluster of a deployment."""
    return cluster_pb2.Cluster(
        name=deployment_id,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads()),
        connect_timeout=seconds(_CONNECT_TIMEOUT_S),
        lb_policy=cluster_pb2.Cluster.LEAST_REQUEST,
        least_request_lb_config=cluster_pb2.Cluster.LeastRequestLbConfig(
            slow_start_config=_slow_start(comebacks.slow_start_s)
        ),
        common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
            healthy_panic_threshold=percent_pb2.Percent(value=_PANIC_BELOW_PERCENT)
        ),
        ignore_health_on_host_removal=True,
        circuit_breakers=_limits(policy),
        outlier_detection=_outliers(comebacks.ejection_s),
        typed_extension_protocol_options={_PROTOCOL: _http()},
        metadata=metadata(
            names.METADATA,
            deployment_id=deployment_id,
            version_id=version.version_id,
            version=f"{version.model_name}/{version.number}",
        ),
    )


def _slow_start(window_s: float) -> cluster_pb2.Cluster.SlowStartConfig:
    return cluster_pb2.Cluster.SlowStartConfig(
        slow_start_window=seconds(window_s),
        aggression=base_pb2.RuntimeDouble(default_value=1.0, runtime_key="rollbook.slow_start.aggression"),
        min_weight_percent=percent_pb2.Percent(value=_SLOW_START_MIN_PERCENT),
    )


def _limits(policy: FailoverPolicy) -> circuit_breaker_pb2.CircuitBreakers:
    # When one of two instances dies, half of the requests in progress are retried at the same moment. Requests are only
    # retried if an instance cannot be reached or heard; an overloaded one answers 503, which is not retried.
    budget = circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget(
        budget_percent=percent_pb2.Percent(value=policy.retry_budget_percent),
        min_retry_concurrency=wrappers_pb2.UInt32Value(value=policy.retries_at_once),
    )
    return circuit_breaker_pb2.CircuitBreakers(
        thresholds=[
            circuit_breaker_pb2.CircuitBreakers.Thresholds(
                max_connections=wrappers_pb2.UInt32Value(value=policy.max_connections),
                max_pending_requests=wrappers_pb2.UInt32Value(value=policy.max_pending),
                max_requests=wrappers_pb2.UInt32Value(value=policy.max_requests),
                retry_budget=budget,
            )
        ]
    )


def _outliers(ejection_s: float) -> outlier_detection_pb2.OutlierDetection:
    # Only failures to reach or hear an instance eject it. Gates judge a model that answers 500.
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=wrappers_pb2.UInt32Value(value=_FAILURES_TO_EJECT),
        enforcing_consecutive_5xx=wrappers_pb2.UInt32Value(value=0),
        enforcing_consecutive_gateway_failure=wrappers_pb2.UInt32Value(value=0),
        enforcing_success_rate=wrappers_pb2.UInt32Value(value=0),
        enforcing_local_origin_success_rate=wrappers_pb2.UInt32Value(value=0),
        interval=seconds(1),
        base_ejection_time=seconds(ejection_s),
        max_ejection_percent=wrappers_pb2.UInt32Value(value=_MAX_EJECTED_PERCENT),
    )


def _http() -> any_pb2.Any:
    http1 = http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
        http_protocol_options=protocol_pb2.Http1ProtocolOptions()
    )
    return packed(
        http_protocol_options_pb2.HttpProtocolOptions(
            common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=seconds(_UPSTREAM_IDLE_S)),
            explicit_http_config=http1,
        )
    )
