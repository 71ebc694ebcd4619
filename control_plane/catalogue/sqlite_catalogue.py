"""Current rows in SQLite: what search and lists read, and what keeps names unique."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from control_plane.ports import CatalogueRow
from schemas.identifiers import Kind

Query = Callable[[str, Sequence[object]], list[Any]]
"""Runs one statement with bound parameters in the caller's transaction and returns its rows."""

NAMES_INDEX = "catalogue_names"

CREATE = (
    """
    CREATE TABLE IF NOT EXISTS catalogue (
        workspace TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT,
        normalised_name TEXT,
        scope TEXT NOT NULL,
        parent_id TEXT,
        number INTEGER,
        phase TEXT NOT NULL,
        created_at TEXT NOT NULL,
        stream_version INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (workspace, kind, id)
    ) STRICT, WITHOUT ROWID
    """,
    f"""
    CREATE UNIQUE INDEX IF NOT EXISTS {NAMES_INDEX}
    ON catalogue (workspace, kind, scope, normalised_name) WHERE normalised_name IS NOT NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS catalogue_parents
    ON catalogue (workspace, kind, parent_id, id) WHERE parent_id IS NOT NULL
    """,
)

_COLUMNS = "workspace, kind, id, name, scope, parent_id, number, phase, created_at, stream_version, body"
_UPSERT = """
INSERT INTO catalogue (
    workspace, kind, id, name, normalised_name, scope, parent_id, number, phase, created_at, stream_version, body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workspace, kind, id) DO UPDATE SET
    name = excluded.name, normalised_name = excluded.normalised_name, scope = excluded.scope,
    parent_id = excluded.parent_id, number = excluded.number, phase = excluded.phase,
    created_at = excluded.created_at, stream_version = excluded.stream_version, body = excluded.body
"""
_ID_OF = "SELECT id FROM catalogue WHERE workspace = ? AND kind = ? AND scope = ? AND normalised_name = ?"
_GET = f"SELECT {_COLUMNS} FROM catalogue WHERE workspace = ? AND kind = ? AND id = ?"  # noqa: S608  constants
_CHILDREN = f"""
SELECT {_COLUMNS} FROM catalogue
WHERE workspace = ? AND kind = ? AND parent_id IN (SELECT value FROM json_each(?))
    AND (? = '[]' OR phase IN (SELECT value FROM json_each(?)))
ORDER BY parent_id, id
"""  # noqa: S608  constants
# One look into the index for each workspace, instead of a walk over all rows.
_OF_ALL_WORKSPACES = f"""
WITH RECURSIVE tenants(tenant) AS (
    SELECT min(workspace) FROM catalogue
    UNION ALL
    SELECT (SELECT min(workspace) FROM catalogue WHERE workspace > tenant) FROM tenants WHERE tenant IS NOT NULL
)
SELECT {_COLUMNS} FROM tenants JOIN catalogue ON workspace = tenant AND kind = ? ORDER BY workspace, id
"""  # noqa: S608  constants
_EVERYTHING = f"SELECT {_COLUMNS} FROM catalogue ORDER BY workspace, kind, id"  # noqa: S608  constants


class SqliteCatalogue:
    """Reads and writes rows through the transaction behind `query`; what is unique is settled by the table."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def id_of(self, kind: Kind, name: str, *, workspace: str, scope: str = "") -> str | None:
        found = self._query(_ID_OF, (workspace, kind, scope, normalised(name)))
        return str(found[0][0]) if found else None

    def get(self, kind: Kind, identifier: str, *, workspace: str) -> CatalogueRow | None:
        found = self._query(_GET, (workspace, kind, identifier))
        return _row(found[0]) if found else None

    def find(  # noqa: PLR0913  the port's query form
        self,
        kind: Kind,
        *,
        workspace: str,
        parent_id: str | None = None,
        phases: Sequence[str] = (),
        name_contains: str = "",
        number: int | None = None,
        after_id: str = "",
        limit: int = 100,
    ) -> list[CatalogueRow]:
        filters: list[tuple[str, Sequence[object]]] = [
            ("workspace = ? AND kind = ? AND id > ?", (workspace, kind, after_id))
        ]
        if parent_id is not None:
            filters.append(("parent_id = ?", (parent_id,)))
        if phases:
            filters.append((f"phase IN ({', '.join('?' * len(phases))})", tuple(phases)))
        if name_contains:
            filters.append(("instr(normalised_name, ?) > 0", (normalised(name_contains),)))
        if number is not None:
            filters.append(("number = ?", (number,)))
        where = " AND ".join(condition for condition, _ in filters)
        parameters = [value for _, values in filters for value in values]
        statement = f"SELECT {_COLUMNS} FROM catalogue WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608  bound values
        return [_row(found) for found in self._query(statement, (*parameters, limit))]

    def children(
        self, kind: Kind, parent_ids: Sequence[str], *, workspace: str, phases: Sequence[str] = ()
    ) -> list[CatalogueRow]:
        parents, wanted = (msgspec.json.encode(tuple(each)).decode() for each in (parent_ids, phases))
        return [_row(found) for found in self._query(_CHILDREN, (workspace, kind, parents, wanted, wanted))]

    def of_all_workspaces(self, kind: Kind) -> list[CatalogueRow]:
        return [_row(found) for found in self._query(_OF_ALL_WORKSPACES, (kind,))]

    def put(self, row: CatalogueRow) -> None:
        """Insert or replace a row.

        Raises:
            sqlite3.IntegrityError: another row holds the name.
        """
        name = None if row.name is None else normalised(row.name)
        values = (row.workspace, row.kind, row.id, row.name, name, row.scope, row.parent_id, row.number)
        self._query(_UPSERT, (*values, row.phase, row.created_at, row.stream_version, row.body))

    def remove(self, kind: Kind, identifier: str, *, workspace: str) -> None:
        self._query("DELETE FROM catalogue WHERE workspace = ? AND kind = ? AND id = ?", (workspace, kind, identifier))

    def everything(self) -> list[CatalogueRow]:
        """Return all rows of all workspaces, in a fixed order; for comparing a rebuild."""
        return [_row(found) for found in self._query(_EVERYTHING, ())]

    def clear(self) -> None:
        self._query("DELETE FROM catalogue", ())


def normalised(name: str) -> str:
    """Return the form in which names are compared."""
    return name.casefold()


def _row(found: Sequence[Any]) -> CatalogueRow:
    workspace, kind, identifier, name, scope, parent_id, number, phase, created_at, stream_version, body = found
    return CatalogueRow(
        workspace=workspace,
        kind=Kind(kind),
        id=identifier,
        name=name,
        scope=scope,
        parent_id=parent_id,
        number=number,
        phase=phase,
        created_at=created_at,
        stream_version=stream_version,
        body=body,
    )
