"""The operations on the gateway's tokens: minted here, checked there; their keys, and what ends them early."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import msgspec

from control_plane.inference_tokens import commands, errors, handlers
from control_plane.inference_tokens.mint import InferenceTokenMint, KeySet, MintedToken
from control_plane.ports import EventStore, UnitOfWork
from infra.clock import Clock
from infra.operations import ADMINS, GATEWAY, PUBLIC, READERS, Caller, Command, Operation, Operations, Question
from schemas.identifiers import Kind

RevokedSubjects = Callable[[], tuple[str, ...]]

_CREATED = 201


def operations(
    store: EventStore, mint: InferenceTokenMint, *, revoked_subjects: RevokedSubjects, clock: Clock
) -> Operations:
    """Declare them; `revoked_subjects` names the principals that can no longer act."""
    return Operations("access", [*_tokens(store, mint, revoked_subjects, clock), *_changes(mint)])


def mint_inference_token(
    store: EventStore, mint: InferenceTokenMint, clock: Clock, caller: Caller, command: commands.MintInferenceToken
) -> MintedToken:
    """Mint a token for endpoints that exist."""
    catalogue = store.catalogue()
    for index, name in enumerate(command.endpoints):
        if name != "*" and catalogue.id_of(Kind.ENDPOINT, name, workspace=caller.workspace) is None:
            raise errors.EndpointScopeUnknownError(name, index=index)
    return mint.mint(caller, command.endpoints, ttl_s=command.ttl_s, now_ms=clock.now_ms())


class KeysOf(msgspec.Struct, frozen=True, kw_only=True):
    """Whose keys: by default those of the caller's workspace, or of the home workspace without a token.

    Only principals of the home workspace may name another.
    """

    workspace: str = ""


def show_public_keys(
    mint: InferenceTokenMint, revoked_subjects: RevokedSubjects, caller: Caller, asked: KeysOf
) -> KeySet:
    """Return what a gateway checks tokens by; to others, the keys alone."""
    is_of_home = caller.workspace == mint.keys.home
    named = asked.workspace if is_of_home else caller.workspace
    key_set = mint.key_set(named or mint.keys.home, revoked_subjects=revoked_subjects())
    if caller.role == "service" and is_of_home and caller.duty in {None, *GATEWAY}:
        return key_set
    return KeySet(workspace=key_set.workspace, version=key_set.version, keys=key_set.keys, is_public=True)


def furnishing(mint: InferenceTokenMint) -> Callable[[str], AbstractAsyncContextManager[Callable[[UnitOfWork], None]]]:
    """Return what gives a workspace that is being created its first signing key."""

    @asynccontextmanager
    async def furnished(workspace: str) -> AsyncIterator[Callable[[UnitOfWork], None]]:
        keys = mint.keys.of(workspace)
        yield partial(handlers.begin_keyring, fresh=await keys.fresh(), require_private=keys.require_private)

    return furnished


def _tokens(
    store: EventStore, mint: InferenceTokenMint, revoked_subjects: RevokedSubjects, clock: Clock
) -> list[Operation]:
    return [
        Question(
            method="POST",
            path="/v1/inference-tokens",
            handler=partial(mint_inference_token, store, mint, clock),
            sdk="inference_tokens.mint",
            asks=commands.MintInferenceToken,
            answers=MintedToken,
            status=_CREATED,
            roles=READERS,
            summary="Mint an inference token for the gateway",
            errors=(errors.EndpointScopeUnknownError, errors.SigningKeyMissingError),
        ),
        Question(
            method="GET",
            path="/v1/inference-tokens/keys",
            handler=partial(show_public_keys, mint, revoked_subjects),
            sdk="inference_tokens.keys",
            asks=KeysOf,
            answers=KeySet,
            roles=PUBLIC,
            summary="Get the public keys that inference tokens are verified with",
        ),
    ]


def _changes(mint: InferenceTokenMint) -> list[Operation]:
    @asynccontextmanager
    async def fresh_key(caller: Caller, *_: object) -> AsyncIterator[handlers.KeyChange]:
        keys = mint.keys.of(caller.workspace)
        fresh = await keys.fresh()
        yield handlers.KeyChange(first=keys.first, fresh=fresh, require_private=keys.require_private)

    return [
        Command(
            method="POST",
            path="/v1/inference-tokens/rotate-key",
            handler=handlers.rotate_signing_key,
            sdk="inference_tokens.rotate_key",
            around=fresh_key,
            asks=commands.RotateSigningKey,
            answers=handlers.ShownKeyring,
            roles=ADMINS,
            summary="Rotate the key that signs inference tokens",
            errors=(errors.RotationUnderWayError, errors.SigningKeyMissingError, errors.TooManySigningKeysError),
        ),
        Command(
            method="POST",
            path="/v1/inference-tokens/revoke",
            handler=handlers.revoke_inference_tokens,
            sdk="inference_tokens.revoke",
            asks=commands.RevokeInferenceTokens,
            answers=handlers.ShownKeyring,
            roles=ADMINS,
            is_for_closed=True,
            summary="Revoke an inference token, or all of a principal's",
            errors=(
                errors.RevocationUnclearError,
                errors.TokenHolderUnknownError,
                errors.TooManyRevocationsError,
            ),
        ),
    ]
