"""The contents of a spool's frames: captured predictions, and marks that state up to when they are complete."""

from typing import Annotated

import msgspec

# What fits a column; numbers from external servers can have any size.
_Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Days = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Status = Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)]


class ObservationRecord(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """One prediction with the capture policy applied; times are in Unix milliseconds.

    `policy_version` identifies that policy: the stream version of its event, or 0 for the default. Token counts and
    times apply to language models and are -1 if unknown; `first_token_ms` and `token_ms` (between two tokens) are known
    for streams only. `prediction_datatype` is empty if the answer does not say it.
    `prediction_class` is how else feedback may call a class: by its name instead of its index, or the other way round.
    """

    prediction_id: str
    captured_at_ms: _Count
    status: _Status
    engine_ms: float
    prediction: str
    inputs: str
    outputs: str
    policy_version: _Count = 0
    retention_days: _Days = 7
    tokens_in: _Count = -1
    tokens_out: _Count = -1
    first_token_ms: float = -1.0
    token_ms: float = -1.0
    finish_reason: str = ""
    prediction_datatype: str = ""
    prediction_class: str = ""


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Every prediction that ended before `closed_until_ms` precedes this mark.

    `seen` counts the predictions of this boot until then, `unsampled` those that the sampling rate left out. Both are
    cumulative, so a spool that has to drop records, and marks with them, loses no count.
    """

    closed_until_ms: _Count
    seen: _Count = 0
    unsampled: _Count = 0


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ObservationRecord | Mark] = msgspec.msgpack.Decoder(ObservationRecord | Mark)
_json_decoder: msgspec.json.Decoder[ObservationRecord | Mark] = msgspec.json.Decoder(ObservationRecord | Mark)
_JSON_ARRAY = b"["


def encode(record: ObservationRecord | Mark) -> bytes:
    """Return the payload of a frame."""
    return _encoder.encode(record)


def decode(payload: bytes) -> ObservationRecord | Mark:
    """Read the payload of a frame: MessagePack from our runtime, JSON from inside engines without our libraries.

    Raises:
        msgspec.DecodeError: it is invalid.
    """
    # In MessagePack this byte is the number 91, which no record starts with.
    return _json_decoder.decode(payload) if payload.startswith(_JSON_ARRAY) else _decoder.decode(payload)


def without_detail(payload: bytes) -> bytes:
    """Return a record without its inputs and outputs; it keeps the prediction, which feedback is compared with."""
    record = decode(payload)
    if isinstance(record, Mark):
        return payload
    return encode(msgspec.structs.replace(record, inputs="", outputs=""))
