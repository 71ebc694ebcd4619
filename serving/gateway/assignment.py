"""Assigns a caller to a deployment: the event names the buckets, and the endpoint chooses the key.

Envoy hashes the salt and the key with xxh64 and seed 0, modulo the sum of the weights, which is the number of buckets.
A request without a key is assigned at random each time.
"""

import re

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as rules_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.type.matcher.v3 import regex_pb2

from schemas.events.endpoints import AssignmentKey
from serving.gateway import names
from serving.gateway.protos import overwrite

_SUBJECT_OF_TOKEN = "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:sub)%"  # noqa: S105 - a formatter


def assigned_by(key: AssignmentKey, *, salt: str) -> route_pb2.RouteAction.HashPolicy:
    """Assign by the endpoint's key; the salt makes the assignments of different endpoints independent."""
    escaped = re.sub(r"\\", r"\\\\", salt)
    salted = regex_pb2.RegexMatchAndSubstitute(
        pattern=regex_pb2.RegexMatcher(regex="^(.*)$"), substitution=escaped + r"\1"
    )
    header = route_pb2.RouteAction.HashPolicy.Header(header_name=_header(key), regex_rewrite=salted)
    return route_pb2.RouteAction.HashPolicy(header=header)


def subject_header() -> rules_pb2.HeaderMutation:
    """Write the token's subject into a header that no client can send."""
    return rules_pb2.HeaderMutation(append=overwrite(names.SUBJECT, _SUBJECT_OF_TOKEN))


def _header(key: AssignmentKey) -> str:
    return key.header if key.header is not None else names.SUBJECT
