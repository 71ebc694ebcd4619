"""What stands in the frames of a spool: captured predictions, and marks that say up to when they are complete."""

import msgspec


class ObservationRecord(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """One prediction after the capture policy; times are Unix milliseconds."""

    prediction_id: str
    captured_at_ms: int
    status: int
    engine_ms: float
    prediction: str
    inputs: str
    outputs: str


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Every prediction that ended before `closed_until_ms` stands before this mark."""

    closed_until_ms: int


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
