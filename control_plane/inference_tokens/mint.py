"""Short-lived tokens for the gateway: EdDSA JWTs (RFC 8037), which Envoy checks with the public keys alone."""

from uuid import uuid4

import jwt
import msgspec

from control_plane.inference_tokens.aggregate import unix_s
from control_plane.inference_tokens.signing_keys import SigningKeyStore
from infra.operations import Caller
from schemas.envelope import rfc3339
from schemas.inference_keys import KeySetBase, RevokedPrincipal

ISSUER = "rollbook"


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key of type OKP."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
    kid: str
    x: str


class KeySet(KeySetBase, frozen=True, kw_only=True):
    """A JSON Web Key Set, and what is refused whatever its signature says, which one that `is_public` leaves out."""

    keys: tuple[PublicKey, ...]
    is_public: bool = False


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token, the id by which it can be revoked, and when it ends."""

    id: str
    token: str
    expires_at: str


class InferenceTokenMint:
    """Signs tokens with the key of the hour, of the workspace that they are for."""

    def __init__(self, keys: SigningKeyStore) -> None:
        self.keys = keys

    def mint(self, actor: Caller, endpoints: tuple[str, ...], *, ttl_s: int, now_ms: int) -> MintedToken:
        """Sign a token for some endpoints of the actor's workspace."""
        key_id, private = self.keys.of(actor.workspace).signing()
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

    def key_set(self, workspace: str, *, revoked_subjects: tuple[str, ...]) -> KeySet:
        """Return what a gateway checks a workspace's tokens by; nothing for one that does not exist."""
        keys = self.keys.public_of(workspace)
        if keys is None:
            return KeySet(workspace=workspace, keys=())
        keyring = keys.keyring()
        return KeySet(
            workspace=workspace,
            version=keyring.stream_version,
            keys=tuple(PublicKey(kid=key.key_id, x=key.x) for key in keys.public()),
            revoked_subjects=revoked_subjects,
            revoked_tokens=tuple(token.token_id for token in keyring.tokens),
            revoked_principals=tuple(
                RevokedPrincipal(principal_id=one.principal_id, issued_before_s=unix_s(one.issued_before))
                for one in keyring.principals
            ),
        )
