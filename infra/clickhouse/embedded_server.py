"""The program ``clickhouse``: chDB, the engine in-process, served as a ClickHouse server is.

Every other process, and a person with curl or a SQL tool, uses it as such. An acknowledged
insert survives ``kill -9``; the folder opens again with the tokens of earlier inserts known.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import uvicorn

from infra.arguments import take_no_arguments
from infra.clickhouse.engine import Engine, Limits
from infra.clickhouse.http_server import ClickHouseApp, HttpLimits
from infra.errors import CannotStartError
from infra.ports import require_free
from infra.settings import load_settings
from infra.shutdown import run_program

PREFIX = "ROLLBOOK_CLICKHOUSE_"
_MIB = 1024 * 1024
_DRAIN_SECONDS = 15
_log = structlog.get_logger(__name__)


class ClickHouseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server needs to know."""

    host: Annotated[str, msgspec.Meta(description="the address to listen on")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="the port to listen on")]
    data_dir: Annotated[Path, msgspec.Meta(description="the folder of tables, owned by one process")]
    user: Annotated[str, msgspec.Meta(description="the one user")] = "default"
    password: Annotated[str, msgspec.Meta(description="the user's password; without one the server is open")] = ""
    parallel_queries: Annotated[int, msgspec.Meta(ge=1, le=64, description="concurrent queries")] = 8
    wait_seconds: Annotated[float, msgspec.Meta(gt=0, description="the longest wait for a free slot")] = 10.0
    max_execution_seconds: Annotated[int, msgspec.Meta(ge=1, description="the time limit of one query")] = 120
    max_memory_mib: Annotated[int, msgspec.Meta(ge=16, description="the memory limit of one query")] = 1024
    max_result_mib: Annotated[int, msgspec.Meta(ge=1, description="the largest result of one query")] = 1024
    max_body_mib: Annotated[int, msgspec.Meta(ge=1, description="the largest insert")] = 256


class _Server(uvicorn.Server):
    """Leaves signals to the program around it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(argv: list[str] | None = None) -> int:
    take_no_arguments("clickhouse", "Serve chDB over the ClickHouse HTTP interface.", argv)
    return run_program("clickhouse", _serve, drain_seconds=_DRAIN_SECONDS)


async def _serve(stopping: asyncio.Event) -> None:
    settings = load_settings(ClickHouseSettings, PREFIX, os.environ)
    require_free(settings.port, purpose="the ClickHouse server", host=settings.host)
    engine = _open(settings)
    app = ClickHouseApp(
        engine,
        HttpLimits(
            parallel_queries=settings.parallel_queries,
            wait_seconds=settings.wait_seconds,
            body_bytes=settings.max_body_mib * _MIB,
        ),
        user=settings.user,
        password=settings.password,
    )
    server = _Server(_uvicorn_config(app, settings))
    serving = asyncio.create_task(server.serve())
    _log.info("clickhouse_listening", port=settings.port)
    try:
        await asyncio.wait({serving, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        app.close()
        engine.close()


def _open(settings: ClickHouseSettings) -> Engine:
    limits = Limits(
        execution_seconds=settings.max_execution_seconds,
        memory_bytes=settings.max_memory_mib * _MIB,
        result_bytes=settings.max_result_mib * _MIB,
    )
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        return Engine(settings.data_dir, limits)
    except (OSError, RuntimeError) as error:
        raise CannotStartError(
            f"the ClickHouse folder {settings.data_dir} cannot be opened ({error}); check its permissions and the "
            "disk, "
            "and that no other process has it open"
        ) from error


def _uvicorn_config(app: ClickHouseApp, settings: ClickHouseSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_SECONDS - 5,
    )
