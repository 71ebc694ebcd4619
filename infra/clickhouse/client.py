"""ClickHouse clients from one URL, for the embedded server and for a real one alike."""

from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.client import Client

from infra.errors import InvalidSettingsError

_CONNECT_SECONDS = 5
_RECEIVE_SECONDS = 60
_PORTS = {"http": 8123, "https": 8443}
# Tells a server of this machine from one across a network; nothing listens or connects by it.
_LOCAL = ("127.0.0.1", "localhost", "::1")
_SETTINGS: dict[str, str | int] = {
    # An insert is acknowledged when it is stored, not when it waits in a buffer.
    "async_insert": 0,
}


def connect(url: str, *, receive_seconds: int = _RECEIVE_SECONDS) -> Client:
    """Return a client for ``http[s]://user:password@host:port/database``; one a thread.

    Raises clickhouse_connect's OperationalError when the server is away.
    """
    client: Client = clickhouse_connect.get_client(**_arguments(url, receive_seconds))
    return client


async def connect_async(url: str, *, receive_seconds: int = _RECEIVE_SECONDS) -> AsyncClient:
    """Return a client for one event loop; it runs queries side by side."""
    return await clickhouse_connect.get_async_client(**_arguments(url, receive_seconds))


def _arguments(url: str, receive_seconds: int) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InvalidSettingsError("the ClickHouse URL has to look like http://user:password@host:8123/database")
    return {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": parts.port or _PORTS[parts.scheme],
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "database": parts.path.strip("/") or "default",
        # On one machine compression costs more than it saves.
        "compress": parts.hostname not in _LOCAL,
        "connect_timeout": _CONNECT_SECONDS,
        "send_receive_timeout": receive_seconds,
        # Sessions lock a client to one query at a time and nothing here needs them.
        "autogenerate_session_id": False,
        "settings": _SETTINGS,
    }
