"""Marker requests prove up to when the request log is complete.

An Envoy worker logs its requests in the order in which they end, and all workers write through one buffer. So once a
marker that a worker answered is in the file, every request that the worker ended before it is there too, however late
the file was flushed. There is one connection per worker: the marker listener balances them exactly.
"""

import asyncio
from pathlib import Path

import structlog

from serving.gateway import names
from serving.gateway.local_http import LocalConnection

INTERVAL_S = 0.1

_log = structlog.get_logger(__name__)


class Markers:
    """One connection per worker, over which the worker is asked to write a line to the log."""

    def __init__(self, folder: Path, *, workers: int) -> None:
        self._connections = [LocalConnection(folder / names.MARKER_SOCKET) for _ in range(workers)]
        self._sending = asyncio.Lock()

    async def send(self) -> bool:
        """Have each worker write a marker; return whether all did. Concurrent calls wait for each other."""
        async with self._sending:
            try:
                for worker, connection in enumerate(self._connections):
                    await connection.request("GET", f"/{worker}")
            except ConnectionError as error:
                # Reconnect all, one after the other: only then does each worker have one connection again.
                self.close()
                _log.warning("marker_failed", error=str(error))
                return False
            return True

    async def send_forever(self) -> None:
        """Keep proving that the log is complete, until cancelled."""
        while True:
            await self.send()
            await asyncio.sleep(INTERVAL_S)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()
