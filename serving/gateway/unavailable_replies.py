"""Adds `Retry-After` to Envoy's own answers when no instance could be asked."""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from serving.gateway.protos import overwrite

_RETRY_AFTER_S = 1
_NOBODY_ASKED = ("UO", "UH", "UF", "UC")
"""Envoy's flags in the record: a limit reached, no instance, none reached, a connection lost."""


def with_retry_after(replies: hcm_pb2.LocalReplyConfig) -> hcm_pb2.LocalReplyConfig:
    """Put a copy with `Retry-After` before each rule for replies; the first matching rule applies."""
    anything = hcm_pb2.ResponseMapper()
    return hcm_pb2.LocalReplyConfig(
        mappers=[*map(_timed, (*replies.mappers, anything)), *replies.mappers], body_format=replies.body_format
    )


def _timed(rule: hcm_pb2.ResponseMapper) -> hcm_pb2.ResponseMapper:
    timed = hcm_pb2.ResponseMapper()
    timed.CopyFrom(rule)
    nobody_asked = accesslog_pb2.AccessLogFilter(
        response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=_NOBODY_ASKED)
    )
    if rule.HasField("filter"):
        both = accesslog_pb2.AndFilter(filters=[nobody_asked, rule.filter])
        nobody_asked = accesslog_pb2.AccessLogFilter(and_filter=both)
    timed.filter.CopyFrom(nobody_asked)
    timed.headers_to_add.append(overwrite("retry-after", str(_RETRY_AFTER_S)))
    return timed
