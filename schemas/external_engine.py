"""A server that already runs, as a version names it: the artifact is this description, and never holds a secret."""

import re
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

MAX_BYTES: Final = 16 * 1024
Protocol: TypeAlias = Literal["openai", "oip"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class ExternalEngine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a server is and what it calls the model.

    `url` is the part before `/v1` (OpenAI's API) or `/v2` (the Open Inference Protocol). `credential` names a file of
    the serving agent's host; what is in it stays there.
    """

    protocol: Protocol
    url: str
    model: str
    credential: str = ""


def read_description(content: bytes) -> ExternalEngine:
    """Read a description.

    Raises:
        ValueError: it is not valid, or contains what is not allowed; the message is one sentence.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"the description is larger than {MAX_BYTES} bytes")
    try:
        engine = msgspec.json.decode(content, type=ExternalEngine)
    except msgspec.DecodeError as error:
        raise ValueError(f"it does not describe a server: {error}") from error
    _check(engine)
    return engine


def _check(engine: ExternalEngine) -> None:
    url = urlsplit(engine.url)
    # Reading the port makes urlsplit check it.
    if url.scheme not in ("http", "https") or not url.hostname or url.port == 0:
        raise ValueError("its url is not http or https")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ValueError("its url contains more than an address and a path; name a credential instead")
    if not engine.model:
        raise ValueError("it does not say what the server calls the model")
    if engine.credential and not _NAME.fullmatch(engine.credential):
        raise ValueError("its credential is not a valid name")
