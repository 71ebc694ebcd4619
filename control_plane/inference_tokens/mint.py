"""Short-lived tokens for the gateway: EdDSA JWTs (RFC 8037), which Envoy checks with the public keys alone."""

from uuid import uuid4

import jwt
import msgspec

from control_plane.inference_tokens.aggregate import unix_s
from control_plane.inference_tokens.signing_keys import SigningKeys
from infra.operations import Caller
from schemas.envelope import rfc3339

ISSUER = "rollbook"


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key of type OKP."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
    kid: str
    x: str


class RevokedPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """A principal whose tokens from before a time (Unix seconds, as `iat`) are refused."""

    principal_id: str
    issued_before_s: int


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set, and what is refused whatever its signature says.

    `version` is the stream version of the keyring: who follows the log tells by it which of the two is newer.
    """

    version: int = 0
    keys: tuple[PublicKey, ...]
    revoked_subjects: tuple[str, ...] = ()
    revoked_tokens: tuple[str, ...] = ()
    revoked_principals: tuple[RevokedPrincipal, ...] = ()


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token, the id by which it can be revoked, and when it ends."""

    id: str
    token: str
    expires_at: str


class InferenceTokenMint:
    """Signs tokens with the key of the hour."""

    def __init__(self, keys: SigningKeys) -> None:
        self.keys = keys

    def mint(self, actor: Caller, endpoints: tuple[str, ...], *, ttl_s: int, now_ms: int) -> MintedToken:
        """Sign a token for some endpoints of the actor's workspace."""
        key_id, private = self.keys.signing()
        issued_at = now_ms // 1000
        token_id = str(uuid4())
        claims = {
            "iss": ISSUER,
            "sub": actor.principal_id,
            "workspace": actor.workspace,
            "endpoints": [name.lower() for name in endpoints],
            "iat": issued_at,
            "exp": issued_at + ttl_s,
            "jti": token_id,
        }
        token = jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": key_id})
        return MintedToken(id=token_id, token=token, expires_at=rfc3339((issued_at + ttl_s) * 1000))

    def key_set(self, *, revoked_subjects: tuple[str, ...]) -> KeySet:
        """Return what a gateway checks tokens by."""
        keyring = self.keys.keyring()
        return KeySet(
            version=keyring.stream_version,
            keys=tuple(PublicKey(kid=key.key_id, x=key.x) for key in self.keys.public()),
            revoked_subjects=revoked_subjects,
            revoked_tokens=tuple(token.token_id for token in keyring.tokens),
            revoked_principals=tuple(
                RevokedPrincipal(principal_id=one.principal_id, issued_before_s=unix_s(one.issued_before))
                for one in keyring.principals
            ),
        )
