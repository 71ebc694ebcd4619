"""Facts about who may act."""

from typing import Literal, TypeAlias

import msgspec

from schemas.envelope import Sealed

Role: TypeAlias = Literal["admin", "operator", "viewer", "service"]
Duty: TypeAlias = Literal["agent", "autoscaler", "batches", "drift", "gateway", "judge"]
"""The programs of Rollbook that call the API, the gateway's as one."""
PrincipalKind: TypeAlias = Literal["person", "service"]


class PrincipalRegistered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a program was allowed to act. Name and e-mail are personal and sealed.

    A service with a duty may only do what that program of Rollbook does.
    """

    kind: PrincipalKind
    role: Role
    name: Sealed
    email: Sealed | None
    duty: Duty | None = None


class TokenIssued(msgspec.Struct, frozen=True, kw_only=True):
    """The principal got a bearer token; only the SHA-256 of its 256 random bits is stored."""

    token_id: str
    token_sha256: str
    expires_at: str | None


class TokenRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token was revoked."""

    token_id: str
    reason: str


class RoleGranted(msgspec.Struct, frozen=True, kw_only=True):
    """The principal got this role; `reason` is null if nobody gave one."""

    role: Role
    reason: str | None


class PrincipalErased(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of the principal's personal values were ordered to be deleted, and all its tokens were revoked."""

    key_ids: tuple[str, ...]
    reason: str


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public Ed25519 key of inference tokens: `x` is base64url, and the private half is never on the log.

    It signs from `signs_from` on until a later key does, and its tokens are good until `valid_until`.
    """

    key_id: str
    x: str
    signs_from: str
    valid_until: str | None


class SigningKeyRotated(msgspec.Struct, frozen=True, kw_only=True):
    """Another key signs a workspace's inference tokens; these are all the keys that are valid from now on."""

    keys: tuple[SigningKey, ...]
    reason: str


class InferenceTokenRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway rejects one inference token, which would have expired at `until`."""

    token_id: str
    until: str
    reason: str


class InferenceTokensRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway rejects what a principal minted before a time; the last of it would have expired at `until`."""

    principal_id: str
    issued_before: str
    until: str
    reason: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "access.InferenceTokenRevoked.v1": InferenceTokenRevoked,
    "access.InferenceTokensRevoked.v1": InferenceTokensRevoked,
    "access.PrincipalErased.v1": PrincipalErased,
    "access.PrincipalRegistered.v1": PrincipalRegistered,
    "access.RoleGranted.v2": RoleGranted,
    "access.SigningKeyRotated.v1": SigningKeyRotated,
    "access.TokenIssued.v1": TokenIssued,
    "access.TokenRevoked.v1": TokenRevoked,
}
