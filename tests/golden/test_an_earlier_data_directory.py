"""What an earlier release stored reads as it was meant; in the acceptance tests a stack goes on with it."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from control_plane.access.aggregate import PRINCIPALS
from control_plane.audit.verifier import verify_store
from control_plane.catalogue.rebuild import rows_of
from control_plane.declared import AGGREGATES
from control_plane.event_store.codec import fold, to_recorded
from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.sqlite_store import SqliteStore, open_sqlite_store
from control_plane.keys.key_file import open_key_file
from control_plane.ports import CatalogueRow
from projections.messages import Message
from projections.views import projector_of
from schemas.catalogue import EVENT_TYPES, NotUnderstood, read_data
from schemas.documents.contents import CONTENTS
from schemas.documents.records import Removed
from schemas.envelope import RecordedEvent
from schemas.events.access import RoleGranted
from schemas.identifiers import Kind
from schemas.topics import REGISTRY_EVENTS
from tests.support.documents import DocumentsOfLog
from tests.support.earlier_release import unpack_data_directory
from tests.support.fakes import FakeClock

SIZE, ROOT = 58, "a2706f0352b121cfc0cad33ebded461636dc66919b1ee60768dc8fa1f2d8dd16"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the data directory."""
    return unpack_data_directory(tmp_path_factory.mktemp("left"))


@pytest.fixture(scope="module")
def log(left: Path) -> list[RecordedEvent]:
    with open_log_file(left / "events" / "registry.sqlite") as file:
        return [to_recorded(event) for event in asyncio.run(file.read(after=0, limit=10_000))]


async def test_its_log_verifies_to_the_root_that_it_had(left: Path) -> None:
    with open_log_file(left / "events" / "registry.sqlite") as file:
        evidence = await verify_store(file)

    assert (evidence.size, evidence.root.hex()) == (SIZE, ROOT)


def test_each_of_its_events_is_read(log: list[RecordedEvent]) -> None:
    read = [read_data(event.envelope.type, event.envelope.data) for event in log]

    assert [event for event in read if isinstance(event, NotUnderstood)] == []


def test_roles_that_were_granted_without_a_reason_are_read_as_the_newest_version(log: list[RecordedEvent]) -> None:
    stored = [event.envelope for event in log if event.envelope.type.startswith("access.RoleGranted.")]

    read = [read_data(envelope.type, envelope.data) for envelope in stored]

    assert {envelope.type for envelope in stored} == {"access.RoleGranted.v1"}
    assert RoleGranted(role="admin", reason=None) in read
    of_one = [event.envelope for event in log if event.envelope.stream == stored[0].stream]
    assert fold(PRINCIPALS, PRINCIPALS.initial, of_one).role == "admin"


def test_the_views_are_built_of_it(log: list[RecordedEvent]) -> None:
    rows = [
        projector_of(REGISTRY_EVENTS).project(
            Message(
                topic=REGISTRY_EVENTS.name,
                partition=0,
                offset=offset,
                timestamp_ms=0,
                key=event.envelope.stream.encode(),
                value=event.canonical,
                headers=(("position", str(event.position).encode()),),
            )
        )
        for offset, event in enumerate(log)
    ]

    assert [len(stored) for *_, stored in rows] == [1] * len(log)
    assert sum(len(entries) for *views, _ in rows for entries in views) > 10


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    numbers: Iterator[int] = itertools.count(1)
    with open_key_file(folder / "events" / "keys.sqlite") as keys:
        async with open_sqlite_store(
            folder / "events" / "registry.sqlite",
            keys=keys,
            aggregates=AGGREGATES,
            clock=FakeClock(),
            randomness=lambda: next(numbers),
            after_commit=lambda _: None,
        ) as store:
            yield store


async def test_its_catalogue_means_what_a_rebuild_gives(tmp_path: Path, log: list[RecordedEvent]) -> None:
    kinds = [Kind(kind) for kind in (*AGGREGATES, *CONTENTS)]
    async with opened(unpack_data_directory(tmp_path)) as store:
        found = [row for kind in kinds for row in store.catalogue().find(kind, workspace="default", limit=1_000)]

    assert meant(found) == meant(rows_of(log, AGGREGATES))


async def test_its_documents_are_those_that_its_log_leaves_one_after_another(
    tmp_path: Path, log: list[RecordedEvent]
) -> None:
    folder = unpack_data_directory(tmp_path)
    async with opened(folder):
        pass

    left = DocumentsOfLog()
    for event in log:
        list(left.after(event.envelope, position=event.position))
    assert await documents_in(folder) == {
        record.id: (record.position, isinstance(record, Removed)) for record in left.current()
    }


async def test_what_the_release_before_kept_as_documents_is_removed_where_programs_need_it_no_more(
    tmp_path: Path,
) -> None:
    folder = unpack_data_directory(tmp_path)
    async with opened(folder) as store:
        over = store.catalogue().find(Kind.ROLLOUT, workspace="default", phases=("completed", "aborted"))
    assert over
    with closing(sqlite3.connect(folder / "events" / "registry.sqlite")) as connection, connection:
        connection.execute("UPDATE documents SET is_removed = 0 WHERE kind = 'rollout'")
        connection.execute("UPDATE properties SET value = '4' WHERE name = 'catalogue_format'")

    async with opened(folder) as store:
        assert store.catalogue().find(Kind.ROLLOUT, workspace="default", phases=("completed", "aborted")) == over

    documents = await documents_in(folder)
    assert [documents[row.id][1] for row in over] == [True for _ in over]


async def documents_in(folder: Path) -> dict[str, tuple[int, bool]]:
    """Return the position of each document of a store, and whether it is removed."""
    with open_log_file(folder / "events" / "registry.sqlite") as file:
        found = await file.documents(after=(0, ""), up_to=await file.head(), limit=1_000)
        return {document.id: (document.position, document.is_removed) for document in found}


def meant(rows: list[CatalogueRow]) -> dict[str, tuple[CatalogueRow, msgspec.Struct]]:
    """Return rows by id, with their bodies as they are read today: those of then lack what was added since."""
    bodies: dict[str, type[msgspec.Struct]] = {**CONTENTS}
    bodies |= {kind: aggregate.body for kind, aggregate in AGGREGATES.items()}
    return {
        row.id: (msgspec.structs.replace(row, body=b""), msgspec.json.decode(row.body, type=bodies[row.kind]))
        for row in rows
    }


def test_nearly_every_type_that_it_knew_is_in_its_log(log: list[RecordedEvent]) -> None:
    assert len({event.envelope.type for event in log} & EVENT_TYPES.keys()) >= 20
