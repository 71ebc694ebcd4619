"""Facts about who may act."""

from typing import Literal, TypeAlias

import msgspec

from schemas.envelope import Sealed

Role: TypeAlias = Literal["admin", "operator", "viewer", "service"]
PrincipalKind: TypeAlias = Literal["person", "service"]


class PrincipalRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a program may act; name and e-mail are personal and sealed."""

    kind: PrincipalKind
    role: Role
    name: Sealed
    email: Sealed | None


class TokenIssued(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token was given to the principal; only the SHA-256 of its 256 random bits is kept."""

    token_id: str
    token_sha256: str
    expires_at: str | None


class TokenRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token is refused from now on."""

    token_id: str
    reason: str


class RoleGranted(msgspec.Struct, frozen=True, kw_only=True):
    """The principal's role is now this one."""

    role: Role


class PrincipalErased(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of the principal's personal values were ordered shredded; all its tokens end."""

    key_ids: tuple[str, ...]
    reason: str
