"""The HTTP filters of the listeners, in their order."""

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2 as to_metadata_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2 as filter_state_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2
from google.protobuf.message import Message

from serving.gateway import names
from serving.gateway.assignment import subject_header
from serving.gateway.body_limit import body_limit, unless_named
from serving.gateway.grpc_routing import model_extraction, model_header, naming_rule
from serving.gateway.openai_naming import model_filters
from serving.gateway.protos import ads, overwrite, packed

_NEW_PREDICTION_ID = "%START_TIME(%s%3f)%-%UNIQUE_ID%"
_WORKSPACE_OF_TOKEN = "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:workspace)%"  # noqa: S105 - a formatter
_ENDPOINT_NAMED = f"%DYNAMIC_METADATA({names.METADATA}:endpoint)%"
# One group matches: the endpoint's name in either protocol's path, the path that lists all models, or the prefix of the
# paths of files and batches.
_NAMING_PATH = r"^(?:/v2/models/([^/?]+)|/v1/models/([^/?@:]+)|(/v1/models)/?|(/v1)/(?:files|batches)(?:[/?]|$)).*$"
_NAME_IN_PATH = r"\1\2\3\4"
_NAMING_MODEL = r"^([^@:]+).*$"


def public_filters(*, max_body_bytes: int) -> list[hcm_pb2.HttpFilter]:
    """Return the chain for callers: authentication, authorisation, the endpoint, then the router.

    The body limit comes before the routing header, so that a rejected body is recorded without an endpoint.
    """
    return [
        _filter(names.IDENTITY_FILTER, _identity(role=names.PRIMARY_ROLE)),
        _discovered(names.TOKEN_FILTER, names.JWT_AUTHN_TYPE),
        _discovered(names.REVOCATION_FILTER, names.RBAC_TYPE),
        body_limit(max_body_bytes=max_body_bytes),
        *model_filters(),
        unless_named(_filter(names.GRPC_MODEL_FILTER, model_extraction())),
        _filter(names.GRPC_MODEL_HEADER_FILTER, model_header()),
        _filter(names.ENDPOINT_NAME_FILTER, _endpoint_name()),
        _filter(names.ROUTING_HEADER_FILTER, _routing_header()),
        _filter(names.ROUTE_AGAIN_FILTER, _route_again()),
        _filter(names.SCOPE_FILTER, rbac_pb2.RBAC()),
        _router(),
    ]


def probe_filters() -> list[hcm_pb2.HttpFilter]:
    """Return the chain of the private listener, whose callers name the route themselves and need no token."""
    return [_filter(names.IDENTITY_FILTER, _identity(role=names.PROBE_ROLE)), _router()]


def shadow_filters() -> list[hcm_pb2.HttpFilter]:
    """Return the chain of copies: they carry the identity of the request, and already name their route."""
    return [_router()]


def _identity(*, role: str) -> mutation_pb2.HeaderMutation:
    # Response mutations of the first filter also apply to Envoy's own answers: 401, 404, 413, 503.
    return mutation_pb2.HeaderMutation(
        mutations=mutation_pb2.Mutations(
            request_mutations=[
                rules_pb2.HeaderMutation(append=overwrite(names.PREDICTION_ID, _NEW_PREDICTION_ID)),
                rules_pb2.HeaderMutation(append=overwrite(names.ROLE, role)),
            ],
            response_mutations=[
                rules_pb2.HeaderMutation(append=overwrite(names.PREDICTION_ID, f"%REQ({names.PREDICTION_ID})%")),
            ],
        )
    )


def _endpoint_name() -> to_metadata_pb2.Config:
    # Later rules overwrite earlier ones: the header wins over the body, and the body over the path.
    from_path = _rewritten(_NAMING_PATH, _NAME_IN_PATH)
    from_body = _rewritten(_NAMING_MODEL, r"\1")
    from_header = to_metadata_pb2.Config.KeyValuePair(metadata_namespace=names.METADATA, key="endpoint")
    return to_metadata_pb2.Config(
        request_rules=[
            to_metadata_pb2.Config.Rule(header=":path", on_header_present=from_path),
            to_metadata_pb2.Config.Rule(header=names.MODEL, on_header_present=from_body),
            naming_rule(),
            to_metadata_pb2.Config.Rule(header=names.ENDPOINT, on_header_present=from_header),
        ]
    )


def _rewritten(pattern: str, substitution: str) -> to_metadata_pb2.Config.KeyValuePair:
    pair = to_metadata_pb2.Config.KeyValuePair(metadata_namespace=names.METADATA, key="endpoint")
    pair.regex_value_rewrite.CopyFrom(
        regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=substitution)
    )
    return pair


def _routing_header() -> mutation_pb2.HeaderMutation:
    route = f"{_WORKSPACE_OF_TOKEN}/{_ENDPOINT_NAMED}"
    return mutation_pb2.HeaderMutation(
        mutations=mutation_pb2.Mutations(
            request_mutations=[rules_pb2.HeaderMutation(append=overwrite(names.ROUTE, route)), subject_header()]
        )
    )


def _route_again() -> filter_state_pb2.Config:
    # The filters before this one made Envoy choose a route before the endpoint was known. Only this filter can clear
    # that choice; the option, field 2, is newer than the generated messages.
    config = filter_state_pb2.Config()
    config.MergeFromString(b"\x10\x01")
    return config


def _router() -> hcm_pb2.HttpFilter:
    return _filter(names.ROUTER_FILTER, router_pb2.Router(suppress_envoy_headers=True))


def _filter(name: str, config: Message) -> hcm_pb2.HttpFilter:
    return hcm_pb2.HttpFilter(name=name, typed_config=packed(config))


def _discovered(name: str, type_url: str) -> hcm_pb2.HttpFilter:
    # Keys and revocations are separate resources, so that changing them affects no listener.
    source = config_source_pb2.ExtensionConfigSource(config_source=ads(), type_urls=[type_url])
    return hcm_pb2.HttpFilter(name=name, config_discovery=source)
