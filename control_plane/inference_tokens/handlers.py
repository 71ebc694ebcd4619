"""Carries out the commands on the keyring of a workspace."""

from collections.abc import Callable

import msgspec

from control_plane.inference_tokens.aggregate import KEYRINGS, NAME, begin, revoke_token, revoke_tokens_of, rotate
from control_plane.inference_tokens.commands import RevokeInferenceTokens, RotateSigningKey
from control_plane.inference_tokens.errors import RevocationUnclearError, TokenHolderUnknownError
from control_plane.ports import Loaded, Reply, UnitOfWork
from schemas.documents.access import Keyring
from schemas.events.access import SigningKey
from schemas.identifiers import Kind

_OK = 200


class ShownKeyring(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that count, in the order in which they sign, and how many revocations do."""

    keys: tuple[SigningKey, ...]
    revocations: int


RequirePrivate = Callable[[str], None]
"""Refuses a key whose private half is not on disk."""


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """The key of the first start, while it counts, and the one that is to sign next."""

    first: SigningKey | None
    fresh: SigningKey
    require_private: RequirePrivate


def rotate_signing_key(unit: UnitOfWork, command: RotateSigningKey, keys: KeyChange) -> Reply:
    """Let a fresh key sign from soon on, provided that its private half is still on disk."""
    keys.require_private(keys.fresh.key_id)
    stream, before = _keyring(unit)
    events = rotate(before.state, command, first=keys.first, fresh=keys.fresh, now_ms=unit.now_ms)
    return _append(unit, stream, before, events)


def begin_keyring(unit: UnitOfWork, *, fresh: SigningKey, require_private: RequirePrivate) -> None:
    """Give a workspace that is being created its first key."""
    require_private(fresh.key_id)
    stream, before = _keyring(unit)
    unit.append(KEYRINGS, stream, expected_version=before.version, events=begin(fresh))


def revoke_inference_tokens(unit: UnitOfWork, command: RevokeInferenceTokens) -> Reply:
    """Refuse a token, or those of a principal."""
    stream, before = _keyring(unit)
    if (command.token_id is None) == (command.principal_id is None):
        raise RevocationUnclearError
    if command.token_id is not None:
        one = revoke_token(before.state, command.token_id, command.reason, now_ms=unit.now_ms)
        return _append(unit, stream, before, one)
    assert command.principal_id is not None
    if unit.catalogue.get(Kind.PRINCIPAL, command.principal_id, workspace=unit.actor.workspace) is None:
        raise TokenHolderUnknownError(command.principal_id)
    all_of_it = revoke_tokens_of(before.state, command.principal_id, command.reason, now_ms=unit.now_ms)
    return _append(unit, stream, before, all_of_it)


def _keyring(unit: UnitOfWork) -> tuple[str, Loaded[Keyring]]:
    known = unit.catalogue.id_of(Kind.KEYRING, NAME, workspace=unit.actor.workspace)
    stream = known or unit.new_id(Kind.KEYRING)
    return stream, unit.load(KEYRINGS, stream)


def _append(unit: UnitOfWork, stream: str, before: Loaded[Keyring], events: tuple[msgspec.Struct, ...]) -> Reply:
    after = unit.append(KEYRINGS, stream, expected_version=before.version, events=events)
    state = after.state
    shown = ShownKeyring(keys=state.keys, revocations=len(state.tokens) + len(state.principals))
    return Reply(status=_OK, body=msgspec.json.encode(shown), stream_version=after.version)
