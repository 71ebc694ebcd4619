"""The wording of Envoy's own answers: in OpenAI's form under /v1, in the Open Inference Protocol's elsewhere."""

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as format_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import struct_pb2

from serving.gateway.grpc_routing import grpc_replies

OPENAI_PREFIX = "/v1/"
_OK, _BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _UNAVAILABLE = 200, 400, 404, 413, 503
_MAX_CLIENT_ERROR = 499
_BODY = "%LOCAL_REPLY_BODY%"
_DETAILS = "%RESPONSE_CODE_DETAILS%"
_UNREADABLE = "the gateway cannot read the request's path or headers; correct what `code` names"
_UNKNOWN = "no endpoint of this name is in the token's workspace"

# What OpenAI's clients distinguish: an error's type and code, by status.
_OPENAI_ERRORS = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "endpoint_not_in_scope"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}

# Why no engine answered: Envoy's flags, our code, and what it means.
_UNANSWERED = (
    (("UO",), "overloaded", "the version has reached its limit of concurrent requests; try again later"),
    (("UH", "NC"), "no_instance_ready", "no instance of the version is ready; try again later"),
    (("UT", "SI", "DT"), "engine_timeout", "the engine did not answer in time"),
    (("UF", "UC", "UR", "LR", "URX", "UPE"), "engine_lost", "the engine closed the connection before it answered"),
)
_NOT_READY = "endpoint_not_ready"


def local_replies(*, too_large: str) -> hcm_pb2.LocalReplyConfig:
    """Write every answer that no engine gave; the first matching rule applies."""
    return hcm_pb2.LocalReplyConfig(
        mappers=[
            *grpc_replies(too_large=too_large),
            _rule(_form({}, text=_BODY), _status_is(_OK)),
            _rule(_openai("invalid_request_error", "model_not_found", _UNKNOWN), _openai_path(), _has_flag("NR")),
            _rule(_openai("invalid_request_error", "model_not_found"), _openai_path(), _status_is(_NOT_FOUND)),
            _rule(
                _openai("invalid_request_error", "request_too_large", too_large), _openai_path(), _status_is(_TOO_LARGE)
            ),
            _rule(_openai(*_OPENAI_ERRORS[_BAD_REQUEST], _UNREADABLE), _openai_path(), _status_is(_BAD_REQUEST)),
            *(
                _rule(_openai(kind, code), _openai_path(), _status_is(status))
                for status, (kind, code) in _OPENAI_ERRORS.items()
                if status != _BAD_REQUEST
            ),
            _rule(_openai("invalid_request_error", _DETAILS), _openai_path(), _is_callers_fault()),
            *(
                _rule(_openai("server_error", code, f"{sentence} ({_DETAILS})"), _openai_path(), _has_flag(*flags))
                for flags, code, sentence in _UNANSWERED
            ),
            _rule(_openai("server_error", _NOT_READY), _openai_path(), _status_is(_UNAVAILABLE)),
            _rule(_openai("server_error", _DETAILS), _openai_path()),
            _rule(_oip(_UNREADABLE), _status_is(_BAD_REQUEST)),
            _rule(_oip(_UNKNOWN), _status_is(_NOT_FOUND)),
            _rule(_oip(too_large), _status_is(_TOO_LARGE)),
            *(
                _rule(_oip(f"{sentence} ({_DETAILS})", code), _has_flag(*flags))
                for flags, code, sentence in _UNANSWERED
            ),
            _rule(_oip(_BODY, _NOT_READY), _status_is(_UNAVAILABLE)),
        ],
        body_format=_oip(_BODY),
    )


def _openai(kind: str, code: str, message: str = _BODY) -> format_pb2.SubstitutionFormatString:
    return _form({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _oip(error: str, code: str = _DETAILS) -> format_pb2.SubstitutionFormatString:
    return _form({"error": error, "status": "%RESPONSE_CODE%", "code": code})


def _form(document: dict[str, Any], *, text: str = "") -> format_pb2.SubstitutionFormatString:
    if text:
        source = base_pb2.DataSource(inline_string=text)
        return format_pb2.SubstitutionFormatString(text_format_source=source, content_type="application/json")
    form = struct_pb2.Struct()
    form.update(document)
    return format_pb2.SubstitutionFormatString(json_format=form)


def _rule(
    form: format_pb2.SubstitutionFormatString, *conditions: accesslog_pb2.AccessLogFilter
) -> hcm_pb2.ResponseMapper:
    fits = conditions[0]
    if len(conditions) > 1:
        fits = accesslog_pb2.AccessLogFilter(and_filter=accesslog_pb2.AndFilter(filters=conditions))
    return hcm_pb2.ResponseMapper(filter=fits, body_format_override=form)


def _status_is(status: int) -> accesslog_pb2.AccessLogFilter:
    return _status(status, accesslog_pb2.ComparisonFilter.EQ)


def _is_callers_fault() -> accesslog_pb2.AccessLogFilter:
    return _status(_MAX_CLIENT_ERROR, accesslog_pb2.ComparisonFilter.LE)


def _status(status: int, operator: accesslog_pb2.ComparisonFilter.Op) -> accesslog_pb2.AccessLogFilter:
    runtime_value = base_pb2.RuntimeUInt32(default_value=status, runtime_key=f"rollbook.reply_{status}")
    comparison = accesslog_pb2.ComparisonFilter(op=operator, value=runtime_value)
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=comparison))


def _has_flag(*flags: str) -> accesslog_pb2.AccessLogFilter:
    return accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=flags))


def _openai_path() -> accesslog_pb2.AccessLogFilter:
    path = route_pb2.HeaderMatcher(name=":path", string_match=string_pb2.StringMatcher(prefix=OPENAI_PREFIX))
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=path))
