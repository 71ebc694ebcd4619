"""The program `api`: takes commands and answers queries over HTTP until told to stop."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn
import uvloop
from litestar.types import ASGIApp

from control_plane.bootstrap import Api, open_api
from control_plane.settings import PREFIX, ApiSettings
from infra.arguments import take_no_arguments
from infra.errors import PortTakenError
from infra.settings import load_settings
from infra.shutdown import run_program
from infra.stack.addresses import LOOPBACK

_DRAIN_S = 10
_BACKLOG = 2_048


class _Server(uvicorn.Server):
    """Leaves the signals to `run_program`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(argv: list[str] | None = None) -> int:
    """Run the API."""
    take_no_arguments("api", "Take commands and answer queries.", argv)
    uvloop.install()
    return run_program("api", _serve, drain_seconds=_DRAIN_S + 5)


async def _serve(stopping: asyncio.Event) -> None:
    settings = load_settings(ApiSettings, PREFIX, os.environ)
    with _listening(settings) as listener:
        async with open_api(settings) as api, _measured(api, settings):
            server = _Server(_uvicorn_config(api.application))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            api.drain()
            server.should_exit = True
            stopped.cancel()
            await serving


@asynccontextmanager
async def _measured(api: Api, settings: ApiSettings) -> AsyncIterator[None]:
    with api.metrics.served(settings.metrics_port, host=LOOPBACK):
        yield


@contextmanager
def _listening(settings: ApiSettings) -> Iterator[socket.socket]:
    """Take the port before the store is opened, so that a taken port is reported as such."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise PortTakenError(port=settings.port, purpose="the API") from error
        yield listener


def _uvicorn_config(application: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", application),  # Litestar's and uvicorn's types of ASGI are the same protocol by other names
        http="httptools",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_S,
    )
