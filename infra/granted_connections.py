"""Connections of aiohttp that go to public and granted addresses alone.

The address that is checked is the one that is connected to. So neither a name that changes its address nor a host in an
odd spelling gets past the check.
"""

import asyncio
import socket
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from infra.addresses import Address, GrantedNetworks, kind_of, read_address
from infra.errors import AddressNotGrantedError

_LOOKUP_S = 5.0


class GrantedConnections:
    """Makes connectors that connect to nothing else. It is made in a running loop."""

    def __init__(self, granted: GrantedNetworks, *, names: AbstractResolver | None = None) -> None:
        self._granted = granted
        self._resolver = _GrantedResolver(granted, names or aiohttp.ThreadedResolver())

    def connector(self, *, limit: int) -> aiohttp.TCPConnector:
        """Make a connector. An AddressNotGrantedError is the `os_error` of the ClientConnectorError that it raises."""
        # aiohttp does not look up a host that is an address, but it opens a socket for each connection.
        return aiohttp.TCPConnector(limit=limit, resolver=self._resolver, socket_factory=self._open_socket)

    async def check(self, url: str) -> None:
        """Look where a URL leads now. One that leads nowhere passes, as nothing is sent there either.

        Raises:
            AddressNotGrantedError: none of its addresses is public or granted.
        """
        try:
            async with asyncio.timeout(_LOOKUP_S):
                await self._look_up(URL(url).raw_host or "")
        except AddressNotGrantedError:
            raise
        except (OSError, ValueError):
            return

    async def _look_up(self, host: str) -> None:
        try:
            address = read_address(host)
        except ValueError:
            await self._resolver.resolve(host, family=socket.AF_UNSPEC)
        else:
            _require_one(self._granted, host, [address])

    def _open_socket(self, target: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = target
        _require_one(self._granted, host, [_read(host)])
        return socket.socket(family, kind, protocol)


class _GrantedResolver(AbstractResolver):
    """Leaves out what may not be connected to."""

    def __init__(self, granted: GrantedNetworks, names: AbstractResolver) -> None:
        self._granted = granted
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [(each, _read(each["host"])) for each in await self._names.resolve(host, port, family)]
        _require_one(self._granted, host, [address for _, address in found])
        return [each for each, address in found if self._granted.allow(address)]

    async def close(self) -> None:
        await self._names.close()


def _require_one(granted: GrantedNetworks, host: str, addresses: Sequence[Address]) -> None:
    if not any(map(granted.allow, addresses)):
        raise AddressNotGrantedError(host, {str(address): kind_of(address) for address in addresses})


def _read(address: str) -> Address:
    try:
        return read_address(address)
    except ValueError as error:
        # The system would read more spellings than are checked here.
        raise OSError(f"{address} is not an address in canonical form") from error
