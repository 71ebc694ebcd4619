"""Routing gRPC by the model's name inside the message, with the same weights and stickiness as REST.

An Envoy filter that understands protobuf reads the name, wherever it is in the message; a caller can name the endpoint
in a header instead. Instances speak gRPC over HTTP/2 on their single port, so each deployment has a second cluster with
the same instances.
"""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as format_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.filters.http.grpc_field_extraction.v3 import config_pb2 as extraction_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2 as to_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import any_pb2, descriptor_pb2

from schemas.events.registry import ArtifactFormat
from serving.gateway import names
from serving.gateway.protos import overwrite, packed, seconds

_UNNAMED = "the message does not name an endpoint of the token's workspace; name one in x-rollbook-endpoint"

_PACKAGE, _SERVICE = "inference", "GRPCInferenceService"
_NAMING_FIELDS = {
    "ModelInfer": "model_name",
    "ModelMetadata": "name",
    "ModelReady": "name",
    "ModelStatistics": "name",
}
"""Methods that concern one model, and the field that names it."""
_SERVER_METHODS = ("ServerLive", "ServerMetadata", "ServerReady")
"""Methods that name no model: a header has to name the endpoint.

The repository's methods are for the agent and never routed.
"""
_FIELD_NUMBER = 1
_EXTRACTED = "envoy.filters.http.grpc_field_extraction"
# The extracted value is a list, which Envoy writes as JSON. Only one of the two fields is present.
_LISTED = "".join(f"%DYNAMIC_METADATA({_EXTRACTED}:{field})%" for field in sorted(set(_NAMING_FIELDS.values())))
_FIRST_LISTED = r'^\["([^"]*)".*$'
_NOT_FOUND, _TOO_LARGE = 404, 413
_GRPC_NOT_FOUND, _GRPC_RESOURCE_EXHAUSTED = "5", "8"
_GRPC_FORMATS: frozenset[ArtifactFormat] = frozenset({"skops", "onnx", "torch", "xgboost", "lightgbm", "catboost"})
_SUFFIX = "~grpc"
_IDLE_S = 300


def speaks_grpc(artifact_format: str) -> bool:
    """Return whether the engine of a format supports gRPC: our runtime does, vLLM and relays do not."""
    return artifact_format in _GRPC_FORMATS


def grpc_name(deployment_id: str) -> str:
    """Return the name of a deployment's cluster for gRPC; ids contain no tilde."""
    return f"{deployment_id}{_SUFFIX}"


def grpc_cluster(rest: cluster_pb2.Cluster) -> cluster_pb2.Cluster:
    """Build a deployment's cluster for gRPC from that for REST: the same limits, over HTTP/2."""
    cluster = cluster_pb2.Cluster()
    cluster.CopyFrom(rest)
    cluster.name = grpc_name(rest.name)
    (protocol,) = cluster.typed_extension_protocol_options
    cluster.typed_extension_protocol_options[protocol].CopyFrom(_http2())
    return cluster


def grpc_assignment(rest: endpoint_pb2.ClusterLoadAssignment) -> endpoint_pb2.ClusterLoadAssignment:
    """List the same instances for the other cluster."""
    assignment = endpoint_pb2.ClusterLoadAssignment()
    assignment.CopyFrom(rest)
    assignment.cluster_name = grpc_name(rest.cluster_name)
    return assignment


def grpc_route(rest: route_pb2.Route) -> route_pb2.Route:
    """Build an endpoint's route for gRPC from that for REST."""
    route = route_pb2.Route()
    route.CopyFrom(rest)
    methods = "|".join((*_NAMING_FIELDS, *_SERVER_METHODS))
    path = regex_pb2.RegexMatcher(regex=f"/{_PACKAGE}\\.{_SERVICE}/(?:{methods})")
    route.match.CopyFrom(route_pb2.RouteMatch(safe_regex=path, grpc=route_pb2.RouteMatch.GrpcRouteMatchOptions()))
    for share in route.route.weighted_clusters.clusters:
        share.name = grpc_name(share.name)
    return route


def model_extraction() -> extraction_pb2.GrpcFieldExtractionConfig:
    """Read the model's name from the first message of a call. Only the fields that are read are declared."""
    described = descriptor_pb2.FileDescriptorSet(file=[_description()])
    config = extraction_pb2.GrpcFieldExtractionConfig(
        descriptor_set=base_pb2.DataSource(inline_bytes=described.SerializeToString(deterministic=True))
    )
    for method, field in _NAMING_FIELDS.items():
        extractions = config.extractions_by_method[f"{_PACKAGE}.{_SERVICE}.{method}"]
        extractions.request_field_extractions[field].SetInParent()
    return config


def model_header() -> mutation_pb2.HeaderMutation:
    """Write what was read into a header, from which the next filter takes the name."""
    listed = rules_pb2.HeaderMutation(append=overwrite(names.GRPC_MODEL, _LISTED))
    return mutation_pb2.HeaderMutation(mutations=mutation_pb2.Mutations(request_mutations=[listed]))


def naming_rule() -> to_metadata_pb2.Config.Rule:
    """Take the endpoint's name from that header, and remove the header."""
    named = to_metadata_pb2.Config.KeyValuePair(metadata_namespace=names.METADATA, key="endpoint")
    named.regex_value_rewrite.CopyFrom(
        regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=_FIRST_LISTED), substitution=r"\1")
    )
    return to_metadata_pb2.Config.Rule(header=names.GRPC_MODEL, on_header_present=named, remove=True)


def grpc_replies(*, too_large: str) -> list[hcm_pb2.ResponseMapper]:
    """Write Envoy's own answers as gRPC's clients expect them: a status and one sentence."""
    return [
        _reworded(_NOT_FOUND, _UNNAMED, grpc_status=_GRPC_NOT_FOUND),
        _reworded(_TOO_LARGE, too_large, grpc_status=_GRPC_RESOURCE_EXHAUSTED),
        hcm_pb2.ResponseMapper(filter=_is_grpc(), body_format_override=_text("%LOCAL_REPLY_BODY%")),
    ]


def _reworded(status: int, sentence: str, *, grpc_status: str) -> hcm_pb2.ResponseMapper:
    both = accesslog_pb2.AndFilter(filters=[_is_grpc(), _status_is(status)])
    return hcm_pb2.ResponseMapper(
        filter=accesslog_pb2.AccessLogFilter(and_filter=both),
        body_format_override=_text(sentence),
        headers_to_add=[overwrite("grpc-status", grpc_status)],
    )


def _description() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=_PACKAGE, syntax="proto3")
    file.message_type.add(name="Answer")
    service = file.service.add(name=_SERVICE)
    for method, field in _NAMING_FIELDS.items():
        request = file.message_type.add(name=f"{method}Request")
        request.field.add(
            name=field,
            number=_FIELD_NUMBER,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
        service.method.add(name=method, input_type=f".{_PACKAGE}.{method}Request", output_type=f".{_PACKAGE}.Answer")
    return file


def _http2() -> any_pb2.Any:
    http2 = http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions()
    )
    # Streams share a connection, so one that is idle costs little; the runtime keeps it as long as the gateway does.
    idle = protocol_pb2.HttpProtocolOptions(idle_timeout=seconds(_IDLE_S))
    return packed(
        http_protocol_options_pb2.HttpProtocolOptions(common_http_protocol_options=idle, explicit_http_config=http2)
    )


def _is_grpc() -> accesslog_pb2.AccessLogFilter:
    media_type = route_pb2.HeaderMatcher(
        name="content-type", string_match=string_pb2.StringMatcher(prefix="application/grpc")
    )
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=media_type))


def _status_is(status: int) -> accesslog_pb2.AccessLogFilter:
    value = base_pb2.RuntimeUInt32(default_value=status, runtime_key=f"rollbook.grpc_reply_{status}")
    comparison = accesslog_pb2.ComparisonFilter(op=accesslog_pb2.ComparisonFilter.EQ, value=value)
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=comparison))


def _text(sentence: str) -> format_pb2.SubstitutionFormatString:
    return format_pb2.SubstitutionFormatString(text_format_source=base_pb2.DataSource(inline_string=sentence))
