"""A file that is not a model is told apart from outside; nothing of it is loaded."""

import io
import struct
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest

from control_plane.artifacts.errors import NotAModelError
from control_plane.artifacts.onnx_format import check_onnx
from control_plane.artifacts.skops_format import check_skops
from tests.support.digits import model_bytes

SCHEMA = b'{"__class__": "C", "__module__": "sklearn", "__loader__": "L", "protocol": 2}'
IR, OPSET, GRAPH = b"\x08\x08", b"\x42\x02\x10\x12", b"\x3a\x03\x12\x01g"


def archive(
    members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED, claimed_bytes: int | None = None
) -> bytes:
    """Make a zip archive; its directory may claim another size for the last member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name, content in members.items():
            made.writestr(name, content)
        if claimed_bytes is not None:
            made.filelist[-1].file_size = claimed_bytes
    return buffer.getvalue()


def array(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def npz(content: bytes) -> bytes:
    return archive({"data.npy": content})


NUMBERS = array(np.arange(6.0))
OBJECTS = array(np.array([{}], dtype=object))
HIDDEN_OBJECTS = array(np.zeros(1, dtype=[(f"field_{n}", "f8") for n in range(500)] + [("last", "O")]))


def test_a_model_that_skops_wrote_passes() -> None:
    check_skops(io.BytesIO(model_bytes("skops")))


def test_arrays_of_numbers_pass() -> None:
    check_skops(io.BytesIO(archive({"schema.json": SCHEMA, "1.npy": NUMBERS, "2.npz": npz(NUMBERS), "3.bin": b"x"})))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a readable zip"),
        (b"\x80\x04K\x01.", "not a readable zip"),
        (archive({"schema.json": SCHEMA})[:-10], "not a readable zip"),
        (archive({"other.json": SCHEMA}), "no schema.json"),
        (archive({"schema.json": b"[]"}), "does not describe an object"),
        (archive({"schema.json": b"{}"}), "does not describe an object"),
        (archive({"schema.json": b"\xff"}), "does not describe an object"),
        (archive({"schema.json": b'{"x":' + b"[" * 100_000}), "does not describe an object"),
        (archive({"schema.json": SCHEMA, "../../etc/1.npy": NUMBERS}), "leads outside the archive"),
        (archive({"schema.json": SCHEMA, "/etc/1.npy": NUMBERS}), "leads outside the archive"),
        (archive({"schema.json": SCHEMA, "a\\..\\..\\1.npy": NUMBERS}), "leads outside the archive"),
        (archive({"schema.json": SCHEMA, "c:1.npy": NUMBERS}), "leads outside the archive"),
        (archive({"schema.json": SCHEMA, "model.pkl": b"\x80\x04K\x01."}), "'.pkl'"),
        (archive({"schema.json": SCHEMA, "model": b"\x80\x04K\x01."}), "without suffix"),
        (archive({"schema.json": SCHEMA, "1.npy": b"\x80\x04K\x01."}), "not a NumPy array"),
        (archive({"schema.json": SCHEMA, "1.npy": OBJECTS}), "pickled objects"),
        (archive({"schema.json": SCHEMA, "1.npy": HIDDEN_OBJECTS}), "pickled objects"),
        (archive({"schema.json": SCHEMA, "1.npz": npz(OBJECTS)}), "pickled objects"),
        (archive({"schema.json": SCHEMA, "1.npz": b"no archive"}), "not a readable zip"),
        (archive({"schema.json": SCHEMA, "1.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff"}), "a header that is too long"),
        (archive({"schema.json": SCHEMA, "1.bin": b"x"}, claimed_bytes=2**30), "unpacks to too many"),
    ],
)
def test_a_file_that_skops_did_not_write_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotAModelError) as caught:
        check_skops(io.BytesIO(content))

    assert reason in caught.value.detail


@pytest.mark.parametrize("at", range(40, 400, 7))
def test_a_damaged_archive_is_refused_or_read_but_never_a_fault(at: int) -> None:
    sound = bytearray(archive({"schema.json": SCHEMA * 3, "1.npy": NUMBERS}, compression=zipfile.ZIP_DEFLATED))
    sound[at % len(sound)] ^= 0x5A

    with pytest.raises(NotAModelError):
        check_skops(io.BytesIO(bytes(sound)))


def test_an_onnx_model_passes() -> None:
    check_onnx(io.BytesIO(model_bytes("onnx")))
    check_onnx(io.BytesIO(IR + OPSET + GRAPH))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no IR version"),
        (b"<html>not found</html>", "an invalid field"),
        (archive({"schema.json": SCHEMA}), "ModelProto does not define"),
        (IR + OPSET, "no graph"),
        (IR + OPSET + b"\x3a\x00", "no graph"),
        (IR + GRAPH, "no operator set"),
        (OPSET + GRAPH, "no IR version"),
        (b"\x08\x00" + OPSET + GRAPH, "does not exist in ONNX"),
        (IR + OPSET + b"\x3a\x7f\x12\x01g", "cut short"),
        (IR + OPSET + GRAPH[:1], "cut short"),
        (IR + b"\x28" + b"\xff" * 11, "too long"),
        (IR + b"\x0d" + struct.pack("<f", 1.0), "ModelProto does not define"),
        (IR * 200_000, "too many fields"),
    ],
)
def test_a_file_that_is_no_onnx_model_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotAModelError) as caught:
        check_onnx(io.BytesIO(content))

    assert reason in caught.value.detail
