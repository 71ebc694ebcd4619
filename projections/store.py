"""ClickHouse as the read side uses it: whole-block inserts with a token, and selects, both in threads."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, InterfaceError, OperationalError

from infra.clickhouse.client import connect
from projections.errors import StoreRefusedError, StoreUnavailableError

Result = TypeVar("Result")

# Codes that pass by themselves: too slow, too much at once, out of memory, too many parts, network, shutting down.
_PASSING_CODES = frozenset({159, 160, 173, 202, 203, 209, 210, 236, 241, 243, 252, 285, 319, 394, 425, 439, 499, 999})
_ANSWER_S = 30
_INSERT_SETTINGS: Mapping[str, str] = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    # A replay of a week's topic crosses more days than the default allows in one block.
    "max_partitions_per_insert_block": "0",
}


class ClickHouseStore:
    """Connects on first use, so that a program may start before ClickHouse does.

    Threads: as many as `connections`. An answer that takes longer than `answer_s` seconds counts as none.
    """

    def __init__(self, url: str, *, connections: int = 4, answer_s: int = _ANSWER_S) -> None:
        self._url = url
        self._answer_s = answer_s
        self._threads = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="clickhouse")
        self._client: Client | None = None
        self._connecting = threading.Lock()

    async def insert(self, table: str, rows: pa.Table, *, token: str | None) -> None:
        # ClickHouse notes a token just before it keeps the rows: one that is killed in between knows what it lost.
        known = {"insert_deduplicate": "0"} if token is None else {"insert_deduplication_token": token}
        settings = {**_INSERT_SETTINGS, **known}
        await self.run(lambda client: client.insert_arrow(table, rows, settings=settings))

    async def select(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of a query; `{name:Type}` in the SQL is bound by the server, `%(name)s` by the client."""

        def query(client: Client) -> list[dict[str, Any]]:
            result = client.query(sql, parameters=dict(parameters or {}), settings=dict(settings or {}))
            return list(result.named_results())

        return await self.run(query)

    async def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Run a statement that answers nothing."""
        await self.run(
            lambda client: client.command(sql, parameters=dict(parameters or {}), settings=dict(settings or {}))
        )

    async def run(self, action: Callable[[Client], Result]) -> Result:
        """Run an action on the client in a thread.

        Raises:
            StoreUnavailableError: ClickHouse is away or overloaded, or its answer never came.
            StoreRefusedError: it refused the statement.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, action)

    async def is_reachable(self) -> bool:
        """Return whether ClickHouse answers a query now."""
        try:
            await self.select("SELECT 1")
        except (StoreUnavailableError, StoreRefusedError):
            return False
        return True

    async def close(self) -> None:
        """Wait for what is running and close the connections."""
        await asyncio.to_thread(self._threads.shutdown, wait=True)
        if self._client is not None:
            self._client.close()
            self._client = None

    def _guarded(self, action: Callable[[Client], Result]) -> Result:
        try:
            return action(self._connected())
        except (InterfaceError, DatabaseError) as error:
            raise _translated(error) from error
        except (ClickHouseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def _connected(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = connect(self._url, receive_seconds=self._answer_s)
            return self._client


def _translated(error: InterfaceError | DatabaseError) -> StoreUnavailableError | StoreRefusedError:
    code = error.code
    # Without a code no one answered; an OperationalError with one is the server's own word.
    if (code is None and isinstance(error, OperationalError)) or code in _PASSING_CODES:
        return StoreUnavailableError(str(error), store_code=code)
    return StoreRefusedError(str(error), store_code=code)
