"""Checks inference tokens: signature, lifetime, revocations, and the endpoints that a token may call."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.rbac.v3 import rbac_pb2 as rules_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.type.matcher.v3 import metadata_pb2, number_pb2, regex_pb2, string_pb2, value_pb2
from envoy.type.v3 import range_pb2
from google.protobuf import any_pb2

from schemas.inference_keys import RevokedPrincipal
from serving.gateway.protos import packed, seconds
from serving.gateway.routing_state import TokenRules
from serving.gateway.token_rules import principals_of

ISSUER = "rollbook"
MAX_LIFETIME_S = 3_600
_CLOCK_SKEW_S = 5
_CACHED_TOKENS = 1_000
_JWT_NAMESPACE = "envoy.filters.http.jwt_authn"
_CLAIMS, _HEADER = "claims", "header"


def token_check(jwks: Sequence[Mapping[str, Any]]) -> jwt_pb2.JwtAuthentication:
    """Require a token signed by one of these keys for every request; without keys every token is rejected."""
    provider = jwt_pb2.JwtProvider(
        issuer=ISSUER,
        require_expiration=True,
        max_lifetime=seconds(MAX_LIFETIME_S),
        clock_skew_seconds=_CLOCK_SKEW_S,
        payload_in_metadata=_CLAIMS,
        header_in_metadata=_HEADER,
        # Callers send the same token many times; its lifetime is still checked each time.
        jwt_cache_config=jwt_pb2.JwtCacheConfig(jwt_cache_size=_CACHED_TOKENS),
        local_jwks=base_pb2.DataSource(inline_string=json.dumps({"keys": list(jwks)}, sort_keys=True)),
    )
    rule = jwt_pb2.RequirementRule(
        match=route_pb2.RouteMatch(prefix="/"),
        requires=jwt_pb2.JwtRequirement(provider_name=ISSUER),
    )
    return jwt_pb2.JwtAuthentication(providers={ISSUER: provider}, rules=[rule])


def revocation_check(tokens: TokenRules) -> rbac_pb2.RBAC:
    """Reject what is revoked, although its signature and lifetime are valid."""
    listed = [
        *(_claim_is("sub", subject) for subject in sorted(tokens.revoked_subjects)),
        *(_claim_is("jti", token_id) for token_id in tokens.revoked_tokens),
        *(_minted_before(one) for one in tokens.revoked_principals),
        *(_both(_claim_is("workspace", name), one) for name, one in _revoked_elsewhere(tokens)),
    ]
    policies = {"revoked": _policy(listed)} if listed else {}
    return rbac_pb2.RBAC(rules=rules_pb2.RBAC(action=rules_pb2.RBAC.DENY, policies=policies))


def _revoked_elsewhere(tokens: TokenRules) -> Iterator[tuple[str, rules_pb2.Principal]]:
    """Yield what other workspaces refuse, each with the only workspace whose tokens it may be about."""
    for name, keyring in tokens.others.items():
        yield from ((name, _claim_is("jti", each.token_id)) for each in keyring.tokens)
        yield from ((name, _minted_before(each)) for each in principals_of(keyring))


def scope_check(*, workspace: str, endpoint: str) -> any_pb2.Any:
    """Only accept tokens of the workspace whose `endpoints` contain this endpoint or `*`."""
    in_scope = rules_pb2.Principal(
        or_ids=rules_pb2.Principal.Set(ids=[_endpoints_include(endpoint), _endpoints_include("*")])
    )
    return _allowed([*_of_workspace(workspace), in_scope])


def workspace_check(workspace: str) -> any_pb2.Any:
    """Only accept tokens of the workspace, for whatever endpoints."""
    return _allowed(_of_workspace(workspace))


def _of_workspace(workspace: str) -> list[rules_pb2.Principal]:
    """Demand the claim, and a key that may sign it: one of the workspace, which its id begins with, or of home."""
    own = value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(prefix=f"{workspace}."))
    of_home = value_pb2.ValueMatcher(
        string_match=string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex="[^.]*"))
    )
    key = rules_pb2.Principal.Set(ids=[_token(_HEADER, "kid", own), _token(_HEADER, "kid", of_home)])
    return [_claim_is("workspace", workspace), rules_pb2.Principal(or_ids=key)]


def _allowed(conditions: Sequence[rules_pb2.Principal]) -> any_pb2.Any:
    all_of_them = rules_pb2.Principal(and_ids=rules_pb2.Principal.Set(ids=conditions))
    allow = rules_pb2.RBAC(action=rules_pb2.RBAC.ALLOW, policies={"scope": _policy([all_of_them])})
    return packed(rbac_pb2.RBACPerRoute(rbac=rbac_pb2.RBAC(rules=allow)))


def _policy(principals: Sequence[rules_pb2.Principal]) -> rules_pb2.Policy:
    return rules_pb2.Policy(permissions=[rules_pb2.Permission(any=True)], principals=principals)


def _claim_is(claim: str, text: str) -> rules_pb2.Principal:
    return _claim(claim, value_pb2.ValueMatcher(string_match=_exactly(text)))


def _minted_before(revoked: RevokedPrincipal) -> rules_pb2.Principal:
    before = range_pb2.DoubleRange(start=0, end=revoked.issued_before_s)
    issued = _claim("iat", value_pb2.ValueMatcher(double_match=number_pb2.DoubleMatcher(range=before)))
    return _both(_claim_is("sub", revoked.principal_id), issued)


def _both(one: rules_pb2.Principal, other: rules_pb2.Principal) -> rules_pb2.Principal:
    return rules_pb2.Principal(and_ids=rules_pb2.Principal.Set(ids=[one, other]))


def _endpoints_include(name: str) -> rules_pb2.Principal:
    one_of = value_pb2.ValueMatcher(string_match=_exactly(name))
    return _claim("endpoints", value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=one_of)))


def _claim(claim: str, matcher: value_pb2.ValueMatcher) -> rules_pb2.Principal:
    return _token(_CLAIMS, claim, matcher)


def _token(part: str, member: str, matcher: value_pb2.ValueMatcher) -> rules_pb2.Principal:
    segment = metadata_pb2.MetadataMatcher.PathSegment
    sought = metadata_pb2.MetadataMatcher(
        filter=_JWT_NAMESPACE,
        path=[segment(key=part), segment(key=member)],
        value=matcher,
    )
    of_request = rules_pb2.SourcedMetadata(metadata_matcher=sought, metadata_source=rules_pb2.MetadataSource.DYNAMIC)
    return rules_pb2.Principal(sourced_metadata=of_request)


def _exactly(text: str) -> string_pb2.StringMatcher:
    # Names are unique regardless of case, so a token may spell one in any case.
    return string_pb2.StringMatcher(exact=text, ignore_case=True)
