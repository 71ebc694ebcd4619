"""The program `api`: takes commands and answers queries over HTTP until told to stop."""

import asyncio
import os
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp

from control_plane.bootstrap import open_api
from control_plane.settings import PREFIX, ApiSettings
from infra.arguments import take_no_arguments
from infra.settings import load_settings
from infra.shutdown import run_program

_DRAIN_S = 10
_BACKLOG = 2_048


def main(argv: list[str] | None = None) -> int:
    """Run the API."""
    take_no_arguments("api", "Take commands and answer queries.", argv)
    return run_program("api", _serve, drain_seconds=_DRAIN_S + 5)


async def _serve(stopping: asyncio.Event) -> None:
    settings = load_settings(ApiSettings, PREFIX, os.environ)
    async with open_api(settings) as application:
        server = uvicorn.Server(_uvicorn_config(application, settings))
        serving = asyncio.create_task(server._serve())  # noqa: SLF001  serve() would take over the signals
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopped.cancel()
        await serving


def _uvicorn_config(application: ASGIApp, settings: ApiSettings) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", application),  # Litestar's and uvicorn's types of ASGI are the same protocol by other names
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_S,
    )
