"""What stands in the frames of a spool: captured predictions, and marks that say up to when they are complete."""

import msgspec


class ObservationRecord(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """One prediction after the capture policy; times are Unix milliseconds.

    `policy_version` names that policy: the stream version of its event, 0 for the usual one.
    """

    prediction_id: str
    captured_at_ms: int
    status: int
    engine_ms: float
    prediction: str
    inputs: str
    outputs: str
    policy_version: int = 0
    retention_days: int = 7


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Every prediction that ended before `closed_until_ms` stands before this mark.

    `seen` counts the predictions of this boot until then, `unsampled` those that the sampling rate left out. Both go
    on from mark to mark, so a spool that has to drop records, and marks with them, loses no count.
    """

    closed_until_ms: int
    seen: int = 0
    unsampled: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ObservationRecord | Mark] = msgspec.msgpack.Decoder(ObservationRecord | Mark)


def encode(record: ObservationRecord | Mark) -> bytes:
    """Return the payload of a frame."""
    return _encoder.encode(record)


def decode(payload: bytes) -> ObservationRecord | Mark:
    """Read the payload of a frame.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoder.decode(payload)


def without_detail(payload: bytes) -> bytes:
    """Return a record without its inputs and outputs: the prediction itself is what feedback is compared with."""
    record = decode(payload)
    if isinstance(record, Mark):
        return payload
    return encode(msgspec.structs.replace(record, inputs="", outputs=""))
