"""Which rows of the catalogue are documents that programs follow, and which event made each what it is."""

from control_plane.catalogue.rebuild import FORMAT_PROPERTY
from control_plane.ports import DocumentMark

CREATE = (
    """
    CREATE TABLE IF NOT EXISTS documents (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        workspace TEXT NOT NULL,
        position INTEGER NOT NULL,
        event_id TEXT NOT NULL,
        is_removed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS documents_positions ON documents (position, id)",
)

MARK = """
INSERT OR REPLACE INTO documents (id, kind, workspace, position, event_id, is_removed) VALUES (?, ?, ?, ?, ?, ?)
"""
REMOVE_ALL = "UPDATE documents SET is_removed = 1"
SELECT = """
SELECT documents.position, documents.id, documents.kind, documents.workspace, event_id, is_removed,
    coalesce(stream_version, 0), coalesce(body, x'')
FROM documents LEFT JOIN catalogue USING (workspace, kind, id)
WHERE (documents.position, documents.id) > (?, ?) AND documents.position <= ?
ORDER BY documents.position, documents.id LIMIT ?
"""
"""Documents in the order of the events that made them, after one, up to a position."""
HAS_DOCUMENTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'documents'"
SELECT_FORMAT = f"SELECT value FROM properties WHERE name = '{FORMAT_PROPERTY}'"  # noqa: S608  a constant


def parameters(mark: DocumentMark) -> tuple[object, ...]:
    """Return what `MARK` takes."""
    return mark.id, mark.kind, mark.workspace, mark.position, mark.event_id, int(mark.is_removed)
