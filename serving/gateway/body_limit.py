"""The largest body that is read before the route is known, and how to avoid it: a header that names the endpoint."""

from envoy.config.core.v3 import extension_pb2 as envoy_extension_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf import wrappers_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from serving.gateway import names
from serving.gateway.batch_routes import FILES_PATH
from serving.gateway.protos import packed

_ANYTHING = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(google_re2={}, regex=".*"))


def body_limit(*, max_body_bytes: int) -> hcm_pb2.HttpFilter:
    """Read a body whole, up to the limit, and answer 413 above it.

    This raises the buffer of the following filters to the limit, and bounds what a request can hold in memory.
    """
    limit = buffer_pb2.Buffer(max_request_bytes=wrappers_pb2.UInt32Value(value=max_body_bytes))
    # Files are streamed to the batch server, which has its own limit.
    files = _skip_if(":path", string_pb2.StringMatcher(prefix=FILES_PATH))
    return _unless(
        hcm_pb2.HttpFilter(name=names.BODY_LIMIT_FILTER, typed_config=packed(limit)),
        _skip_if(names.ENDPOINT, _ANYTHING),
        files,
    )


def unless_named(filter_: hcm_pb2.HttpFilter) -> hcm_pb2.HttpFilter:
    """Skip a filter if a header names the endpoint: such a body is streamed through and not read here."""
    return _unless(filter_, _skip_if(names.ENDPOINT, _ANYTHING))


def _unless(filter_: hcm_pb2.HttpFilter, *skips: matcher_pb2.Matcher.MatcherList.FieldMatcher) -> hcm_pb2.HttpFilter:
    matched = extension_matcher_pb2.ExtensionWithMatcher(
        xds_matcher=matcher_pb2.Matcher(matcher_list=matcher_pb2.Matcher.MatcherList(matchers=skips)),
        extension_config=envoy_extension_pb2.TypedExtensionConfig(name=filter_.name, typed_config=filter_.typed_config),
    )
    return hcm_pb2.HttpFilter(name=filter_.name, typed_config=packed(matched))


def too_large(*, max_body_bytes: int) -> str:
    """Say how large a body may be, and what to do about a larger one."""
    return (
        f"the request body is larger than {max_body_bytes} bytes; "
        f"name the endpoint in the header {names.ENDPOINT} to send more, or send fewer rows at once"
    )


def _skip_if(name: str, value: string_pb2.StringMatcher) -> matcher_pb2.Matcher.MatcherList.FieldMatcher:
    header = http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name)
    predicate = matcher_pb2.Matcher.MatcherList.Predicate
    named = predicate.SinglePredicate(
        input=extension_pb2.TypedExtensionConfig(name=name, typed_config=packed(header)), value_match=value
    )
    skip = extension_pb2.TypedExtensionConfig(name="skip", typed_config=packed(skip_action_pb2.SkipFilter()))
    return matcher_pb2.Matcher.MatcherList.FieldMatcher(
        predicate=predicate(single_predicate=named), on_match=matcher_pb2.Matcher.OnMatch(action=skip)
    )
