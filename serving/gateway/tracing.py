"""Envoy's own spans: one per request, between the caller's and the engine's, sent by OTLP over HTTP."""

from urllib.parse import urlsplit

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, http_service_pb2, http_uri_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.tracing.v3 import custom_tag_pb2

from serving.gateway import names
from serving.gateway.protos import packed, seconds

CLUSTER = "otlp-collector"
_TIMEOUT_S = 5
_TAGS_OF_REQUEST = {
    "rollbook.prediction_id": names.PREDICTION_ID,
    "rollbook.endpoint": names.ENDPOINT,
    "rollbook.epoch": names.EPOCH,
}
# Of the instance that answered, which may not belong to the selected deployment.
_TAGS_OF_INSTANCE = {"rollbook.deployment_id": "deployment_id", "rollbook.version": "version"}


def spans_of_requests(endpoint: str) -> hcm_pb2.HttpConnectionManager.Tracing:
    """Join the trace of each request, as the caller's sampling decides; a request without a trace starts one."""
    uri = http_uri_pb2.HttpUri(uri=f"{endpoint.rstrip('/')}/v1/traces", cluster=CLUSTER, timeout=seconds(_TIMEOUT_S))
    config = opentelemetry_pb2.OpenTelemetryConfig(
        http_service=http_service_pb2.HttpService(http_uri=uri), service_name="rollbook-gateway"
    )
    provider = http_tracer_pb2.Tracing.Http(name="envoy.tracers.opentelemetry", typed_config=packed(config))
    return hcm_pb2.HttpConnectionManager.Tracing(
        provider=provider,
        custom_tags=[
            *(
                custom_tag_pb2.CustomTag(tag=tag, request_header=custom_tag_pb2.CustomTag.Header(name=header))
                for tag, header in _TAGS_OF_REQUEST.items()
            ),
            *(custom_tag_pb2.CustomTag(tag=tag, metadata=_of_instance(key)) for tag, key in _TAGS_OF_INSTANCE.items()),
        ],
    )


def _of_instance(key: str) -> custom_tag_pb2.CustomTag.Metadata:
    where = metadata_pb2.MetadataKey(key=names.METADATA, path=[metadata_pb2.MetadataKey.PathSegment(key=key)])
    host = metadata_pb2.MetadataKind(host=metadata_pb2.MetadataKind.Host())
    return custom_tag_pb2.CustomTag.Metadata(kind=host, metadata_key=where)


def collector(endpoint: str) -> cluster_pb2.Cluster:
    """Build the cluster of the collector."""
    parts = urlsplit(endpoint)
    socket = address_pb2.SocketAddress(
        address=parts.hostname or "", port_value=parts.port or (443 if parts.scheme == "https" else 80)
    )
    address = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=address_pb2.Address(socket_address=socket))
    )
    return cluster_pb2.Cluster(
        name=CLUSTER,
        type=cluster_pb2.Cluster.STRICT_DNS,
        connect_timeout=seconds(1),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=CLUSTER, endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[address])]
        ),
    )
