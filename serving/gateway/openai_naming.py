"""Reads which model an OpenAI call is for: the `model` field of its body, which names an endpoint."""

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.core.v3 import extension_pb2 as envoy_extension_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_pb2
from envoy.extensions.filters.http.json_to_metadata.v3 import json_to_metadata_pb2 as from_json_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf.message import Message
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from serving.gateway import names
from serving.gateway.batch_routes import is_for_server
from serving.gateway.protos import overwrite, packed
from serving.gateway.replies import OPENAI_PREFIX

_MODEL_FIELD = "model"
_MODEL_ASKED = f"%DYNAMIC_METADATA({names.METADATA}:{_MODEL_FIELD})%"
_ANYTHING = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(google_re2={}, regex=".*"))


def model_filters() -> list[hcm_pb2.HttpFilter]:
    """Return the filters that read the field into a header."""
    return [
        _for_openai_calls(names.MODEL_NAME_FILTER, _model_name()),
        _for_openai_calls(names.MODEL_HEADER_FILTER, _model_header()),
    ]


def _model_name() -> from_json_pb2.JsonToMetadata:
    found = from_json_pb2.JsonToMetadata.KeyValuePair(
        metadata_namespace=names.METADATA, key=_MODEL_FIELD, type=from_json_pb2.JsonToMetadata.STRING
    )
    rule = from_json_pb2.JsonToMetadata.Rule(
        selectors=[from_json_pb2.JsonToMetadata.Selector(key=_MODEL_FIELD)], on_present=found
    )
    return from_json_pb2.JsonToMetadata(request_rules=from_json_pb2.JsonToMetadata.MatchRules(rules=[rule]))


def _model_header() -> mutation_pb2.HeaderMutation:
    return mutation_pb2.HeaderMutation(
        mutations=mutation_pb2.Mutations(
            request_mutations=[rules_pb2.HeaderMutation(append=overwrite(names.MODEL, _MODEL_ASKED))]
        )
    )


def _for_openai_calls(name: str, config: Message) -> hcm_pb2.HttpFilter:
    """Only run a filter for POST /v1/…, and not if a header names the endpoint: nothing else is parsed.

    Files and batches name no model: their contents are for the batch server.
    """
    predicate = matcher_pb2.Matcher.MatcherList.Predicate
    is_call = predicate(
        and_matcher=predicate.PredicateList(
            predicate=[
                _header_is(":path", string_pb2.StringMatcher(prefix=OPENAI_PREFIX)),
                _header_is(":method", string_pb2.StringMatcher(exact="POST")),
                predicate(not_matcher=_header_is(names.ENDPOINT, _ANYTHING)),
                *(predicate(not_matcher=_header_is(":path", path)) for path in is_for_server()),
            ]
        )
    )
    skip = matcher_pb2.Matcher.OnMatch(
        action=extension_pb2.TypedExtensionConfig(name="skip", typed_config=packed(skip_action_pb2.SkipFilter()))
    )
    others = matcher_pb2.Matcher.MatcherList.FieldMatcher(predicate=predicate(not_matcher=is_call), on_match=skip)
    matched = extension_matcher_pb2.ExtensionWithMatcher(
        xds_matcher=matcher_pb2.Matcher(matcher_list=matcher_pb2.Matcher.MatcherList(matchers=[others])),
        extension_config=envoy_extension_pb2.TypedExtensionConfig(name=name, typed_config=packed(config)),
    )
    return hcm_pb2.HttpFilter(name=name, typed_config=packed(matched))


def _header_is(name: str, value: string_pb2.StringMatcher) -> matcher_pb2.Matcher.MatcherList.Predicate:
    header = extension_pb2.TypedExtensionConfig(
        name=name, typed_config=packed(http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name))
    )
    single = matcher_pb2.Matcher.MatcherList.Predicate.SinglePredicate(input=header, value_match=value)
    return matcher_pb2.Matcher.MatcherList.Predicate(single_predicate=single)
