"""The keyring of a workspace: which keys sign its inference tokens, and which tokens are refused before their end.

Revocations count until the tokens that they name would have ended by themselves, so the state stays small. Without keys
the one of the first start counts, which has no event.
"""

from datetime import UTC, datetime

import msgspec

from control_plane.inference_tokens.commands import MAX_TTL_S, RotateSigningKey
from control_plane.inference_tokens.errors import (
    RotationUnderWayError,
    TooManyRevocationsError,
    TooManySigningKeysError,
)
from control_plane.ports import Aggregate, CatalogueRow, EventContext
from schemas.documents.access import Keyring, RevokedToken, RevokedTokens
from schemas.envelope import rfc3339
from schemas.events.access import InferenceTokenRevoked, InferenceTokensRevoked, SigningKey, SigningKeyRotated
from schemas.identifiers import Kind

NAME = "inference"
_MAX_KEYS = 5
_MAX_REVOCATIONS = 1_000


def evolve(state: Keyring, event: msgspec.Struct, context: EventContext) -> Keyring:
    """Fold one event; revocations that no longer count go."""
    state = msgspec.structs.replace(
        _evolved(state, event),
        id=context.stream,
        workspace=context.workspace,
        created_at=state.created_at or context.at,
        stream_version=context.version,
    )
    return as_of(state, context.at)


def _evolved(state: Keyring, event: msgspec.Struct) -> Keyring:
    replace = msgspec.structs.replace
    match event:
        case SigningKeyRotated():
            return replace(state, keys=event.keys)
        case InferenceTokenRevoked():
            revoked = RevokedToken(token_id=event.token_id, until=event.until)
            return replace(state, tokens=(*state.tokens, revoked))
        case InferenceTokensRevoked():
            others = tuple(one for one in state.principals if one.principal_id != event.principal_id)
            mine = RevokedTokens(principal_id=event.principal_id, issued_before=event.issued_before, until=event.until)
            return replace(state, principals=(*others, mine))
        case _:
            return state


def as_of(state: Keyring, at: str) -> Keyring:
    """Return what of the state counts at a time (RFC 3339, as events write it, so that texts compare as times)."""
    return msgspec.structs.replace(
        state,
        keys=tuple(key for key in state.keys if key.valid_until is None or key.valid_until > at),
        tokens=tuple(token for token in state.tokens if token.until > at),
        principals=tuple(one for one in state.principals if one.until > at),
    )


def row(state: Keyring) -> CatalogueRow | None:
    """Show a keyring; its name makes it the only one of its workspace."""
    if not state.id:
        return None
    return CatalogueRow(
        workspace=state.workspace,
        kind=Kind.KEYRING,
        id=state.id,
        name=NAME,
        created_at=state.created_at,
        stream_version=state.stream_version,
        body=msgspec.json.encode(state),
    )


KEYRINGS = Aggregate(
    kind=Kind.KEYRING,
    body=Keyring,
    initial=Keyring(),
    evolve=evolve,
    row=row,
    is_followed=lambda state: state.stream_version > 0,
)


def begin(fresh: SigningKey) -> tuple[SigningKeyRotated, ...]:
    """Decide on the first key of a workspace, which signs at once: no gateway knows another."""
    return (SigningKeyRotated(keys=(fresh,), reason="the workspace was created"),)


def rotate(
    state: Keyring, command: RotateSigningKey, *, first: SigningKey | None, fresh: SigningKey, now_ms: int
) -> tuple[SigningKeyRotated, ...]:
    """Decide on a rotation to the `fresh` key; `first` is the key of the first start, for the first rotation."""
    now = rfc3339(now_ms)
    counting = as_of(state, now).keys or ((first,) if first else ())
    if command.overlap_s == 0:
        only = msgspec.structs.replace(fresh, signs_from=now, valid_until=None)
        return (SigningKeyRotated(keys=(only,), reason=command.reason),)
    if counting and counting[-1].signs_from > now:
        raise RotationUnderWayError(counting[-1].signs_from)
    if len(counting) >= _MAX_KEYS:
        raise TooManySigningKeysError(_MAX_KEYS)
    signs_from_ms = now_ms + command.lead_s * 1_000
    ends = rfc3339(signs_from_ms + command.overlap_s * 1_000)
    before = tuple(msgspec.structs.replace(key, valid_until=key.valid_until or ends) for key in counting)
    after = msgspec.structs.replace(fresh, signs_from=rfc3339(signs_from_ms), valid_until=None)
    return (SigningKeyRotated(keys=(*before, after), reason=command.reason),)


def revoke_token(state: Keyring, token_id: str, reason: str, *, now_ms: int) -> tuple[InferenceTokenRevoked, ...]:
    """Decide on the end of one token; one that is refused already changes nothing."""
    counting = as_of(state, rfc3339(now_ms))
    if any(token.token_id == token_id for token in counting.tokens):
        return ()
    _require_room(counting)
    return (InferenceTokenRevoked(token_id=token_id, until=_all_ended(now_ms), reason=reason),)


def revoke_tokens_of(
    state: Keyring, principal_id: str, reason: str, *, now_ms: int
) -> tuple[InferenceTokensRevoked, ...]:
    """Decide on the end of all that a principal has minted. Tokens carry whole seconds: this one counts as before."""
    counting = as_of(state, rfc3339(now_ms))
    if all(one.principal_id != principal_id for one in counting.principals):
        _require_room(counting)
    next_second = (now_ms // 1_000 + 1) * 1_000
    revoked = InferenceTokensRevoked(
        principal_id=principal_id, issued_before=rfc3339(next_second), until=_all_ended(now_ms), reason=reason
    )
    return (revoked,)


def unix_s(at: str) -> int:
    """Return an RFC 3339 time in whole Unix seconds."""
    return int(datetime.fromisoformat(at).astimezone(UTC).timestamp())


def _require_room(state: Keyring) -> None:
    if len(state.tokens) + len(state.principals) >= _MAX_REVOCATIONS:
        raise TooManyRevocationsError(_MAX_REVOCATIONS)


def _all_ended(now_ms: int) -> str:
    # The gateway lets clocks differ by some seconds; a minute more costs nothing.
    return rfc3339(now_ms + (MAX_TTL_S + 60) * 1_000)
