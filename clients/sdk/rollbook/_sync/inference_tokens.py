# Generated from ../_async/inference_tokens.py by generate_sync.py; edit that one.
"""Tokens for the gateway: minting, their signing key, and what ends them early."""

from typing import Any

from rollbook._sync.connection import Connection
from rollbook.resources import InferenceToken

_LONGEST_TTL_S = 3_600


class InferenceTokens:
    """Tokens that applications send to the gateway."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def mint(self, endpoints: list[str], *, ttl_s: int = _LONGEST_TTL_S) -> InferenceToken:
        """Mint a token for some endpoints or `*`; it lives at most an hour."""
        body = {"endpoints": endpoints, "ttl_s": ttl_s}
        return self._connection.command("/v1/inference-tokens", body, InferenceToken)

    def rotate_key(
        self,
        *,
        reason: str,
        overlap_s: int | None = None,
        lead_s: int | None = None,
    ) -> dict[str, Any]:
        """Sign with a fresh key soon, and return the keys that count.

        Tokens of the key before stay good for `overlap_s` more; 0 ends them at once.
        """
        given = {"overlap_s": overlap_s, "lead_s": lead_s}
        body = {"reason": reason, **{name: value for name, value in given.items() if value is not None}}
        return self._connection.command("/v1/inference-tokens/rotate-key", body, dict[str, Any])

    def revoke(
        self,
        *,
        reason: str,
        token_id: str | None = None,
        principal_id: str | None = None,
    ) -> dict[str, Any]:
        """Let the gateway refuse one token, or all that a principal has minted until now."""
        body = {"reason": reason, "token_id": token_id, "principal_id": principal_id}
        return self._connection.command("/v1/inference-tokens/revoke", body, dict[str, Any])

    def keys(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set, and what is revoked."""
        return self._connection.get("/v1/inference-tokens/keys", dict[str, Any])
