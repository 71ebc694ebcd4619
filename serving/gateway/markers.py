"""Marker requests: the proof of how far the request log is complete.

A worker of Envoy logs its requests in the order in which they end, and all workers write through one buffer. So once a
marker that a worker answered stands in the file, every request which that worker ended before it stands there too,
however late the file was flushed. One connection a worker: the marker listener balances them exactly.
"""

import asyncio
from pathlib import Path

import structlog

from serving.gateway import names
from serving.gateway.local_http import LocalConnection

INTERVAL_S = 0.1

_log = structlog.get_logger(__name__)


class Markers:
    """A connection to each worker, over which it is asked for a line in the log."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        self._connections = [LocalConnection(folder / names.MARKER_SOCKET) for _ in range(workers)]
        self._sending = asyncio.Lock()

    async def send(self) -> bool:
        """Have each worker write a marker; return whether all did. Another call waits until this one is through."""
        async with self._sending:
            try:
                for worker, connection in enumerate(self._connections):
                    await connection.request("GET", f"/{worker}")
            except ConnectionError as error:
                # All again, one after the other: only then does each worker have one of them again.
                self.close()
                _log.warning("marker_failed", error=str(error))
                return False
            return True

    async def send_forever(self) -> None:
        """Keep the log provable until cancelled."""
        while True:
            await self.send()
            await asyncio.sleep(INTERVAL_S)

    def close(self) -> None:
        """Let go of the connections."""
        for connection in self._connections:
            connection.close()
