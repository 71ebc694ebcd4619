"""What gateways check inference tokens by, as the control plane answers it and gateways keep it."""

import msgspec

from schemas.identifiers import DEFAULT_WORKSPACE


class RevokedPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """A principal whose tokens from before a time (Unix seconds, as `iat`) are refused."""

    principal_id: str
    issued_before_s: int


class KeySetBase(msgspec.Struct, frozen=True, kw_only=True):
    """Of which workspace the keys are, and what is refused although one of them signed it.

    `version` is the stream version of the keyring, 0 before its first event: who follows the log tells by it which of
    two is newer. Principals of `revoked_subjects` can no longer act at all.
    """

    workspace: str = DEFAULT_WORKSPACE
    version: int = 0
    revoked_subjects: tuple[str, ...] = ()
    revoked_tokens: tuple[str, ...] = ()
    revoked_principals: tuple[RevokedPrincipal, ...] = ()
