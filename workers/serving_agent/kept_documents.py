"""The last documents on disk of what should run: from these an agent begins while Kafka is unavailable."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically
from infra.kafka.serving_state import Documents
from schemas.documents.records import StateRecord

_log = structlog.get_logger(__name__)


class KeptDocuments:
    """The file; it holds nothing that the topic does not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Documents:
        """Return what was kept, which is nothing where there is no file that can be read."""
        try:
            records = msgspec.json.decode(self._path.read_bytes(), type=tuple[StateRecord, ...])
        except FileNotFoundError:
            records = ()
        except (OSError, msgspec.DecodeError) as error:
            _log.error("kept_documents_unreadable", path=str(self._path), error=str(error))
            records = ()
        return Documents(records=records, is_all=False)

    async def write(self, records: Iterable[StateRecord]) -> None:
        """Replace the file, waiting for the disk in a thread; a disk that cannot be written is logged."""
        content = msgspec.json.encode(tuple(records))
        try:
            await asyncio.to_thread(write_atomically, self._path, content)
        except OSError as error:
            _log.warning("documents_not_kept", path=str(self._path), error=str(error))
