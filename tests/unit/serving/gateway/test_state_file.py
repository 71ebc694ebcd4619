import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serving.gateway import names
from serving.gateway.routing_state import KeptState, RoutingSnapshot, TokenRules
from serving.gateway.routing_table import RoutingTable
from serving.gateway.state_file import StateFile, open_state_file
from serving.gateway.state_parts import ENDPOINT, Parts
from tests.support.routing import NOTHING_KNOWN, Log, added, announced, created, route, shifted, snapshot, withdrawn

READ_AT_MS = 1_700_000_000_000
MANY = 3_000
EARLIER = Path(__file__).parents[3] / "golden" / "follower_state"
"""Written by the releases of which they have the format."""


class Keeper:
    """A table and its file, without a follower between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = StateFile(folder)
        self.log = Log()
        self.table = RoutingTable(self.file.state.snapshot if self.file.state else NOTHING_KNOWN)

    def tell(self, stream: str, event: msgspec.Struct) -> None:
        self.table.take(self.log.append(stream, event))

    def keep(self) -> RoutingSnapshot:
        parts = self.table.everything() if self.file.needs_everything else self.table.unkept()
        self.file.write(parts, read_at_ms=READ_AT_MS)
        self.table.has_kept(parts)
        return snapshot(self.table)

    def serve(self) -> None:
        self.tell("endpoint-1", created())
        self.tell("endpoint-1", added("d1"))
        self.tell("instance-1", announced("endpoint-1", "d1"))
        self.tell("endpoint-1", shifted(d1=[(0, 10_000)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "gateway"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(folder: Path) -> Iterator[Keeper]:
    keeper = Keeper(folder)
    yield keeper
    keeper.file.close()


def state_in(folder: Path) -> KeptState | None:
    with open_state_file(folder) as file:
        return file.state


def as_after_a_crash(keeper: Keeper, wal_bytes: int | None = None) -> KeptState | None:
    """Return what is found where the machine lost what it had not yet written, or had written only in part."""
    lost = keeper.folder.with_name("lost")
    shutil.copytree(keeper.folder, lost)
    if wal_bytes is not None:
        with wal_of(lost).open("r+b") as wal:
            wal.truncate(wal_bytes)
    found = state_in(lost)
    shutil.rmtree(lost)
    return found


def wal_of(folder: Path) -> Path:
    return folder / f"{names.STATE}-wal"


def test_what_was_written_is_there_after_a_crash(keeper: Keeper) -> None:
    keeper.serve()
    first = keeper.keep()
    assert as_after_a_crash(keeper) == KeptState(read_at_ms=READ_AT_MS, snapshot=first)

    keeper.tell("instance-1", withdrawn("endpoint-1", "d1"))
    keeper.table.renew_tokens(TokenRules(keys=({"kid": "k"},)))
    second = keeper.keep()

    assert as_after_a_crash(keeper) == KeptState(read_at_ms=READ_AT_MS, snapshot=second)
    assert second.instances == ()


def test_a_torn_write_leaves_the_state_before_it(keeper: Keeper) -> None:
    keeper.serve()
    first, begins = keeper.keep(), wal_of(keeper.folder).stat().st_size
    keeper.tell("endpoint-1", added("d2"))
    keeper.tell("endpoint-2", created("other"))
    second, ends = keeper.keep(), wal_of(keeper.folder).stat().st_size

    found = [as_after_a_crash(keeper, size) for size in (*range(begins, ends, 512), ends - 1, ends)]

    snapshots = [each.snapshot for each in found if each]
    assert snapshots == [first] * (len(found) - 1) + [second]


def test_it_goes_on_from_what_it_opened(folder: Path) -> None:
    first = Keeper(folder)
    first.serve()
    first.keep()
    first.file.close()

    second = Keeper(folder)
    second.table.take(first.log.append("endpoint-2", created("other")))
    kept = second.keep()
    second.file.close()

    assert [each.name for each in kept.endpoints] == ["digits", "other"]
    assert state_in(folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


def written_by_an_earlier_release(folder: Path, written_format: int) -> Path:
    """Put the state of two endpoints there: one with two instances, and with traffic for one of them."""
    return Path(shutil.copy(EARLIER / f"format_{written_format}.json", folder / names.SNAPSHOT))


@pytest.mark.parametrize("written_format", [2, 3])
def test_the_state_of_an_earlier_release_is_opened_and_goes_once_it_is_written_anew(
    folder: Path, written_format: int
) -> None:
    in_one_piece = written_by_an_earlier_release(folder, written_format)

    keeper = Keeper(folder)
    assert keeper.file.state
    opened = keeper.file.state
    assert in_one_piece.exists()
    anew = keeper.keep()
    keeper.file.close()

    assert (opened.read_at_ms, opened.snapshot.position) == (READ_AT_MS, 7)
    assert anew == opened.snapshot
    assert not in_one_piece.exists()
    assert state_in(folder) == opened


@pytest.mark.parametrize("written_format", [2, 3])
def test_instances_of_an_earlier_release_take_their_traffic(folder: Path, written_format: int) -> None:
    written_by_an_earlier_release(folder, written_format)

    keeper = Keeper(folder)
    keeper.file.close()

    (serves,), (other,) = keeper.table.instances_of("d1"), keeper.table.instances_of("d2")
    assert (serves.host, serves.port, serves.region, serves.workspace) == ("127.0.0.1", 41001, "local", "research")
    assert (other.port, other.region, other.phase) == (41002, "west", "announced")
    assert [each.served.epoch for each in keeper.table.endpoints.values() if each.served] == [3]
    assert keeper.table.tokens.revoked_tokens == ("token-1",)


def test_an_earlier_release_that_ran_again_has_the_newer_state(folder: Path) -> None:
    keeper = Keeper(folder)
    keeper.serve()
    keeper.keep()
    keeper.file.close()
    newer = KeptState(read_at_ms=8, snapshot=RoutingSnapshot(position=9, endpoints=(route("endpoint-9"),)))
    (folder / names.SNAPSHOT).write_bytes(msgspec.json.encode({"format": 3, **msgspec.structs.asdict(newer)}))

    keeper = Keeper(folder)
    keeper.keep()
    keeper.file.close()

    assert state_in(folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=newer.snapshot)


def without_room(folder: Path) -> Path:
    """Let no file be made for the state until the folder that this returns is there; permissions do not bind root."""
    room = folder / "room"
    (folder / names.STATE).symlink_to(room / names.STATE)
    return room


@pytest.mark.parametrize("written_format", [2, 3])
def test_where_no_file_can_be_made_the_state_of_an_earlier_release_serves_until_it_can(
    folder: Path, written_format: int
) -> None:
    in_one_piece = written_by_an_earlier_release(folder, written_format)
    room = without_room(folder)

    keeper = Keeper(folder)
    with pytest.raises(sqlite3.OperationalError):
        keeper.keep()
    assert in_one_piece.exists()
    room.mkdir()
    kept = keeper.keep()
    keeper.file.close()

    assert kept.position == 7
    assert state_in(folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)
    assert not in_one_piece.exists()


def test_a_first_state_is_kept_once_its_file_can_be_made(folder: Path) -> None:
    room = without_room(folder)

    keeper = Keeper(folder)
    assert keeper.file.state is None
    room.mkdir()
    keeper.serve()
    kept = keeper.keep()
    keeper.file.close()

    assert state_in(folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


def test_a_state_that_is_there_and_cannot_be_read_stays(keeper: Keeper) -> None:
    keeper.serve()
    kept = keeper.keep()
    keeper.file.close()
    in_its_place = wal_of(keeper.folder)
    in_its_place.mkdir()

    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        state_in(keeper.folder)

    in_its_place.rmdir()
    assert state_in(keeper.folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"format": 1, "snapshot": {"position": 7}}', b'{"format": 2}'])
def test_the_state_of_an_earlier_release_that_cannot_be_used_is_none(folder: Path, content: bytes) -> None:
    (folder / names.SNAPSHOT).write_bytes(content)

    assert state_in(folder) is None


@pytest.mark.parametrize("content", [b"no database at all" * 1_000, b"SQLite format 3\0" + b"\xff" * 8_000])
def test_a_file_that_cannot_be_read_is_replaced(folder: Path, content: bytes) -> None:
    (folder / names.STATE).write_bytes(content)

    keeper = Keeper(folder)
    assert keeper.file.state is None
    keeper.serve()
    kept = keeper.keep()
    keeper.file.close()

    assert state_in(folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE parts SET body = X'5B5D'",
        "UPDATE parts SET kind = 'unheard' WHERE kind = 'instance'",
        "PRAGMA user_version = 99",
    ],
)
def test_a_file_of_another_form_is_replaced(keeper: Keeper, change: str) -> None:
    keeper.serve()
    keeper.keep()
    keeper.file.close()
    connection = sqlite3.connect(keeper.folder / names.STATE, isolation_level=None)
    connection.execute(change)
    connection.close()

    again = Keeper(keeper.folder)
    assert again.file.state is None
    kept = again.keep()
    again.file.close()

    assert state_in(keeper.folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


def many(letter: str) -> Parts:
    """Return more than SQLite has in memory, and than stays beside the file."""
    keys = [f"endpoint-{number}" for number in range(MANY)]
    return Parts(position=7, parts={(ENDPOINT, key): route(key, name=letter * 500) for key in keys})


def test_a_file_that_is_damaged_in_use_is_replaced_by_the_whole_state(keeper: Keeper) -> None:
    keeper.file.write(many("a"), read_at_ms=READ_AT_MS)
    path = keeper.folder / names.STATE
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))

    with pytest.raises(sqlite3.DatabaseError):
        keeper.file.write(many("b"), read_at_ms=READ_AT_MS)
    keeper.serve()
    kept = keeper.keep()

    keeper.file.close()
    assert state_in(keeper.folder) == KeptState(read_at_ms=READ_AT_MS, snapshot=kept)


def test_what_gathers_beside_the_file_is_put_into_it(keeper: Keeper) -> None:
    for letter in "abcdefghij":
        keeper.file.write(many(letter), read_at_ms=READ_AT_MS)

    whole = (keeper.folder / names.STATE).stat().st_size
    assert whole < wal_of(keeper.folder).stat().st_size < 3 * whole


def test_two_followers_cannot_have_one_folder(keeper: Keeper) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        state_in(keeper.folder)
