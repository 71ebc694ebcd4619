"""Short-lived tokens for the gateway: EdDSA JWTs (RFC 8037), which Envoy checks with the public key alone."""

import base64
import hashlib
import os
from pathlib import Path
from uuid import uuid4

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.ports import Actor
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


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set, and the principals whose tokens are refused whatever they say."""

    keys: tuple[PublicKey, ...]
    revoked_subjects: tuple[str, ...] = ()


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token and when it ends."""

    token: str
    expires_at: str


class InferenceTokenMint:
    """Signs tokens with one Ed25519 key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Derive the public half."""
        self._key = key
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public_key = PublicKey(kid=hashlib.sha256(raw).hexdigest()[:16], x=_base64url(raw))

    def mint(self, actor: Actor, endpoints: tuple[str, ...], *, ttl_s: int, now_ms: int) -> MintedToken:
        """Sign a token for some endpoints of the actor's workspace."""
        issued_at = now_ms // 1000
        claims = {
            "iss": ISSUER,
            "sub": actor.principal_id,
            "workspace": actor.workspace,
            "endpoints": [name.lower() for name in endpoints],
            "iat": issued_at,
            "exp": issued_at + ttl_s,
            "jti": str(uuid4()),
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self.public_key.kid})
        return MintedToken(token=token, expires_at=rfc3339((issued_at + ttl_s) * 1000))


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in a PEM file, made at the first start; the file is readable by its owner alone."""
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_secret(path, pem)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key")
    return key


def write_secret(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
