"""One principal's statements beside a ClickHouse that takes its time: what is too many is told, and how to go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.api import LOOPBACK, running_api

STATEMENT = {"sql": "SELECT 1"}


class SilentServer:
    """Accepts connections and says nothing until it is closed."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.is_over = asyncio.Event()
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SilentServer"]:
        server = await asyncio.start_server(self._silent, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                yield self
            finally:
                self.is_over.set()

    async def _silent(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_asked.set()
        await self.is_over.wait()
        writer.close()


async def test_a_principal_s_statement_above_its_share_is_refused_with_the_limit_and_when_to_ask_again(
    tmp_path: Path,
) -> None:
    async with SilentServer().running() as clickhouse:
        url = f"http://{LOOPBACK}:{clickhouse.port}/default"
        async with running_api(tmp_path, clickhouse_url=url, sql_at_once_each=1, sql_waiting_each=0) as api:
            runs = asyncio.create_task(api.admin.post("/v1/query", json=STATEMENT))
            await clickhouse.is_asked.wait()

            refused = await api.admin.post("/v1/query", json=STATEMENT)

            clickhouse.is_over.set()
            first = await runs

    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-statements"), refused.text
    assert int(refused.headers["retry-after"]) > 0
    assert "1 running and 0 waiting" in refused.json()["detail"]
    assert "ROLLBOOK_API_SQL_WAITING_EACH" in refused.json()["remedy"]
    assert first.json()["code"] == "view-unavailable"
