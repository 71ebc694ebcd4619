"""Commands on principals and tokens, as their bodies arrive."""

from typing import Annotated

import msgspec

from schemas.events.access import PrincipalKind, Role

PersonalText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_YEAR_S = 366 * 24 * 3_600


class RegisterPrincipal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let a person or a program in; the answer holds its token, once."""

    kind: PrincipalKind
    name: PersonalText
    email: PersonalText | None = None
    role: Role


class GrantRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change what a principal may do."""

    role: Role
    reason: Reason | None = None


class IssueToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give a principal another token; without `ttl_s` it lasts until it is revoked."""

    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=_YEAR_S)] | None = None


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuse a token from now on."""

    reason: Reason


class ErasePrincipal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shred the keys of a person's values; what was written under them is unreadable forever."""

    reason: Reason
