"""FlatBuffers are read as the format says, and never beyond their end."""

import struct

import pytest

from schemas.flat_tables import FlatTable


def _file(*, name: bytes = b"age", count: int = 2) -> bytes:
    """Write a table of a number, a text, a field that is left out, and a list of two floats.

    At 0 the place of the table, at 4 its fields' offsets, at 16 the table, at 32 the text, at 40 the list.
    """
    fields = struct.pack("<HHHHHH", 12, 16, 4, 8, 0, 12)
    table = struct.pack("<iiII", 16 - 4, -7, 32 - 24, 40 - 28)
    text = struct.pack("<I4s", len(name), name)
    return struct.pack("<I", 16) + fields + table + text + struct.pack("<Iff", count, 0.5, -2.0)


def test_fields_are_read_and_those_that_are_left_out_have_their_default() -> None:
    table = FlatTable.root_of(_file())

    assert (table.whole(0), table.text(1), table.values(3, "f").tolist()) == (-7, "age", [0.5, -2.0])
    assert (table.whole(2, default=-1), table.text(2), table.tables(2), table.has(2)) == (-1, "", [], False)
    assert table.whole(99, default=5) == 5
    assert not table.values(99, "d").tolist()


def test_a_table_that_is_missing_is_noticed() -> None:
    with pytest.raises(ValueError, match="missing"):
        FlatTable.root_of(_file()).table(2)


@pytest.mark.parametrize("length", range(len(_file())))
def test_nothing_is_read_beyond_the_end(length: int) -> None:
    with pytest.raises(ValueError, match="outside itself"):
        FlatTable.root_of(_file()[:length]).values(3, "f")


@pytest.mark.parametrize("count", [3, 2**31, 2**32 - 1])
def test_a_list_that_claims_to_be_longer_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="outside itself"):
        FlatTable.root_of(_file(count=count)).values(3, "f")


def test_a_file_is_not_read_again_and_again() -> None:
    table = FlatTable.root_of(_file())

    with pytest.raises(ValueError, match="too often"):
        sum(len(table.values(3, "f")) for _ in range(100))
