"""Files in an artifact store of a test's own."""

import hashlib

from control_plane.artifacts.artifact_store import ArtifactStore


def digest_of(content: bytes) -> str:
    """Return the name of a file."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def put(store: ArtifactStore, content: bytes, *, digest: str | None = None) -> str:
    """Upload a file in two parts, under its digest or another one, and return that."""
    named = digest or digest_of(content)
    upload = store.receive(named)
    try:
        upload.write(content[:7])
        upload.write(content[7:])
        upload.keep()
    finally:
        upload.close()
    return named
