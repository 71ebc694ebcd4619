"""Large parts of documents that never change: each is a document of its own, so that a small change rewrites none."""

import hashlib
from collections.abc import Mapping

import msgspec

from schemas.events.registry import GoldenExample, Signature

CONTENTS: Mapping[str, type[msgspec.Struct]] = {"golden": GoldenExample, "signature": Signature}
"""The kinds of parts, each with the struct of its JSON."""


def content_id(owner: str, body: bytes) -> str:
    """Return the id of a part of the documents of `owner` (an id of ours): it ends in the SHA-256 of the part's JSON.

    Ids of parts sort before those of the documents that refer to them, so that a part is published first.
    """
    return f"content-{owner.partition('-')[2]}-{hashlib.sha256(body).hexdigest()}"
