"""The principal: who may act, in which role, by which tokens. Names and addresses stay sealed in here."""

import msgspec

from control_plane.access.errors import PrincipalErasedError, TokenUnknownError
from control_plane.ports import Aggregate, CatalogueRow, EventContext
from schemas.documents import access
from schemas.documents.access import Token
from schemas.envelope import unix_ms
from schemas.events.access import (
    PrincipalErased,
    PrincipalRegistered,
    Role,
    RoleGranted,
    TokenIssued,
    TokenRevoked,
)
from schemas.identifiers import Kind


class Principal(access.Principal, frozen=True, kw_only=True):
    """State, and the body of the catalogue row; `event_id` is what the sealed values are bound to."""

    @property
    def has_unrevoked_token(self) -> bool:
        """Whether the principal may still act, unless its tokens have expired."""
        return not self.is_erased and any(not token.is_revoked for token in self.tokens)

    def live_tokens(self, *, now_ms: int) -> tuple[str, ...]:
        """Return the tokens by which the principal can act at a time."""
        return () if self.is_erased else tuple(token.id for token in self.tokens if _is_live(token, now_ms=now_ms))


NO_PRINCIPAL = Principal(
    id="",
    workspace="",
    kind="service",
    role="viewer",
    event_id="",
    is_erased=False,
    created_at="",
    stream_version=0,
)
"""Before its first event."""


def evolve(state: Principal, event: msgspec.Struct, context: EventContext) -> Principal:
    """Fold one event."""
    return msgspec.structs.replace(_evolved(state, event, context), stream_version=context.version)


def _evolved(state: Principal, event: msgspec.Struct, context: EventContext) -> Principal:
    replace = msgspec.structs.replace
    match event:
        case PrincipalRegistered():
            return Principal(
                id=context.stream,
                workspace=context.workspace,
                kind=event.kind,
                role=event.role,
                name=event.name,
                email=event.email,
                event_id=context.event_id,
                is_erased=False,
                created_at=context.at,
                duty=event.duty,
                stream_version=context.version,
            )
        case TokenIssued():
            token = Token(id=event.token_id, sha256=event.token_sha256, expires_at=event.expires_at)
            return replace(state, tokens=(*state.tokens, token))
        case TokenRevoked():
            return replace(state, tokens=tuple(_revoked(token, event.token_id) for token in state.tokens))
        case RoleGranted():
            return replace(state, role=event.role)
        case PrincipalErased():
            return replace(state, is_erased=True, name=None, email=None)
        case _:
            return state


def _is_live(token: Token, *, now_ms: int) -> bool:
    return not token.is_revoked and (token.expires_at is None or now_ms < unix_ms(token.expires_at))


def _revoked(token: Token, token_id: str) -> Token:
    return msgspec.structs.replace(token, is_revoked=True) if token.id == token_id else token


def row(state: Principal) -> CatalogueRow | None:
    """Show a principal; it cannot be found by name, as the name is sealed."""
    if not state.id:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.PRINCIPAL,
        id=state.id,
        name=None,
        phase="erased" if state.is_erased else state.role,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


PRINCIPALS = Aggregate(
    kind=Kind.PRINCIPAL,
    body=Principal,
    initial=NO_PRINCIPAL,
    evolve=evolve,
    row=row,
    is_followed=lambda state: not state.has_unrevoked_token,
)


def grant_role(state: Principal, role: Role, reason: str | None) -> tuple[msgspec.Struct, ...]:
    """Decide on a role; the one that the principal has changes nothing."""
    _require_not_erased(state)
    return () if state.role == role else (RoleGranted(role=role, reason=reason),)


def issue_token(state: Principal, token: Token) -> tuple[msgspec.Struct, ...]:
    """Decide on another token."""
    _require_not_erased(state)
    return (TokenIssued(token_id=token.id, token_sha256=token.sha256, expires_at=token.expires_at),)


def revoke_token(state: Principal, token_id: str, reason: str) -> tuple[msgspec.Struct, ...]:
    """Decide on the end of a token; one that ended changes nothing."""
    token = next((token for token in state.tokens if token.id == token_id), None)
    if token is None:
        raise TokenUnknownError(token_id)
    return () if token.is_revoked else (TokenRevoked(token_id=token_id, reason=reason),)


def erase(state: Principal, key_ids: tuple[str, ...], reason: str) -> tuple[msgspec.Struct, ...]:
    """Decide on erasure; repeating it changes nothing."""
    return () if state.is_erased else (PrincipalErased(key_ids=key_ids, reason=reason),)


def _require_not_erased(state: Principal) -> None:
    if state.is_erased:
        raise PrincipalErasedError(state.id)
