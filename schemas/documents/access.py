"""The documents by which gateways tell which inference tokens to refuse."""

import msgspec

from schemas.documents.streams import StreamBase
from schemas.envelope import Sealed
from schemas.events.access import Duty, PrincipalKind, Role, SigningKey


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token by its hash."""

    id: str
    sha256: str
    expires_at: str | None
    is_revoked: bool = False


class PrincipalBase(msgspec.Struct, frozen=True, kw_only=True):
    """What the document of a principal and the API's answer have in common."""

    id: str
    kind: PrincipalKind
    role: Role
    is_erased: bool
    created_at: str
    duty: Duty | None = None


class Principal(PrincipalBase, frozen=True, kw_only=True):
    """Someone who may act. Programs follow those that can no longer act, as no token of theirs is good any more.

    Personal values are sealed, bound to the event `event_id`; an erased principal has none.
    """

    workspace: str
    name: Sealed | None = None
    email: Sealed | None = None
    event_id: str
    tokens: tuple[Token, ...] = ()
    stream_version: int


class RevokedToken(msgspec.Struct, frozen=True, kw_only=True):
    """One inference token that is refused until it has ended."""

    token_id: str
    until: str


class RevokedTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal minted before a time, refused until the last of it has ended."""

    principal_id: str
    issued_before: str
    until: str


class Keyring(StreamBase, frozen=True, kw_only=True):
    """Which keys sign a workspace's inference tokens, and which tokens are refused before their end."""

    keys: tuple[SigningKey, ...] = ()
    tokens: tuple[RevokedToken, ...] = ()
    principals: tuple[RevokedTokens, ...] = ()
