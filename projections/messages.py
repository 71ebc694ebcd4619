"""A message as the sink sees it, whatever client fetched it."""

import msgspec

from projections.errors import UndecodableError


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a topic, undecoded.

    `generation` is how often the topic had been made anew: its offsets begin again each time.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    generation: int = 0


def header(message: Message, name: str) -> str:
    """Return one header as text.

    Raises:
        UndecodableError: it is missing or is not UTF-8.
    """
    for key, value in message.headers:
        if key == name:
            return text(value, what=f"header {name}")
    raise UndecodableError(f"header {name} is missing")


def body(message: Message) -> bytes:
    """Return the value.

    Raises:
        UndecodableError: there is none.
    """
    if message.value is None:
        raise UndecodableError("the message has no value")
    return message.value


def text(value: bytes, *, what: str) -> str:
    """Decode UTF-8, or say what is not."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise UndecodableError(f"{what} is not valid UTF-8") from error
