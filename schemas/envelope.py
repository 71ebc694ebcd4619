"""The canonical bytes of an event: CloudEvents 1.0 structured JSON, encoded once, then stored, published and hashed."""

from datetime import UTC, datetime

import msgspec

from schemas.identifiers import EventId, StreamId

SOURCE = "/rollbook"
SPEC_VERSION = "1.0"
MAX_EVENT_BYTES = 32 * 1024


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A personal value, encrypted under its subject's key; unreadable forever once that key is shredded.

    `ciphertext` is base64 of nonce ‖ AES-256-GCM ciphertext; the event id is the associated data.
    """

    key_id: str
    ciphertext: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable event. Field order is the order of the canonical bytes.

    `time` is RFC 3339 in UTC with milliseconds; `data` holds the encoded event struct of `type`.
    """

    specversion: str = SPEC_VERSION
    type: str
    source: str = SOURCE
    id: EventId
    time: str
    datacontenttype: str = "application/json"
    workspace: str
    stream: StreamId
    streamversion: int
    actor: str
    correlationid: str
    causationid: str
    commandid: str
    data: msgspec.Raw


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope with the position the store gave it, and the exact bytes that were stored."""

    position: int
    envelope: Envelope
    canonical: bytes


_encoder = msgspec.json.Encoder(order=None)
_decoder = msgspec.json.Decoder(Envelope)


def encode_data(event: msgspec.Struct) -> msgspec.Raw:
    """Encode an event struct to the JSON of `data`."""
    return msgspec.Raw(_encoder.encode(event))


def encode(envelope: Envelope) -> bytes:
    """Return the canonical bytes of an envelope."""
    return _encoder.encode(envelope)


def decode(canonical: bytes) -> Envelope:
    """Read canonical bytes.

    Raises:
        msgspec.DecodeError: the bytes are not an envelope (msgspec.ValidationError where only a field is wrong).
    """
    return _decoder.decode(canonical)


def rfc3339(unix_ms: int) -> str:
    """Format Unix milliseconds the way `time` is written: `2026-01-02T03:04:05.678Z`."""
    seconds, milliseconds = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, tz=UTC).isoformat()[:19]}.{milliseconds:03d}Z"


def unix_ms(time: str) -> int:
    """Read the `time` of an envelope back to Unix milliseconds."""
    moment = datetime.fromisoformat(time)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
