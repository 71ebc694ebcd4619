"""Commands on principals and tokens, as their bodies arrive."""

from typing import Annotated

import msgspec

from schemas.events.access import Duty, PrincipalKind, Role

PersonalText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_YEAR_S = 366 * 24 * 3_600


class RegisterPrincipal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer holds the first token, which is shown only this once.

    A service with a duty may only do what that program of Rollbook does, such as the agent of another host.
    """

    kind: PrincipalKind
    name: PersonalText
    email: PersonalText | None = None
    role: Role
    duty: Duty | None = None


class GrantRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grant a principal a role."""

    role: Role
    reason: Reason | None = None


class IssueToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `ttl_s` the token is valid until it is revoked."""

    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=_YEAR_S)] | None = None


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Revoke a token."""

    reason: Reason


class ErasePrincipal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the person's values are destroyed; what was written under them can never be read again."""

    reason: Reason
