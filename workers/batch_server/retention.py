"""Deletes what has expired: files, batches that have ended, and everything that belonged to an erased person."""

import asyncio

import structlog

from workers.batch_server.batches import Batches
from workers.batch_server.errors import ApiError, PartAwayError, RefusedError
from workers.batch_server.parts import Parts

_INTERVAL_S = 60.0
_DAY_S = 86_400

_log = structlog.get_logger(__name__)


class Retention:
    """Looks once a minute."""

    def __init__(self, parts: Parts, batches: Batches) -> None:
        self._parts = parts
        self._batches = batches
        self._erased: frozenset[str] = frozenset()
        self._read_until = 0

    async def sweep_forever(self) -> None:
        """Look repeatedly."""
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> None:
        """Delete what has expired. What cannot be deleted now is deleted later."""
        try:
            erased, self._read_until = await self._parts.plane.erased_principals(after=self._read_until)
            self._erased |= erased
            await self._end_batches_of_erased()
            await asyncio.to_thread(self._delete)
        except (PartAwayError, RefusedError, ApiError, OSError) as error:
            _log.warning("retention_delayed", reason=str(error))

    async def _end_batches_of_erased(self) -> None:
        for record in self._parts.book.open_ones():
            if record.owner in self._erased and record.status in ("validating", "in_progress"):
                await self._batches.end(record.id, reason="its owner was erased")

    def _delete(self) -> None:
        now_s, parts = self._parts.now_s, self._parts
        for file_id in parts.files.outdated(now_s=now_s, erased=self._erased):
            parts.files.delete(file_id)
            _log.info("file_deleted", file_id=file_id)
        before_s = now_s - parts.settings.retention_days * _DAY_S
        for batch_id in parts.book.outdated(ended_before_s=before_s, erased=self._erased):
            parts.book.forget(batch_id)
            _log.info("batch_forgotten", batch_id=batch_id)
