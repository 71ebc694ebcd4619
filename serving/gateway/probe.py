"""Asks Envoy, over its private listener, which epoch it really serves.

The route answers a probe itself: whether the gateway routes by an epoch must not hang on an engine that hangs,
or a bad candidate could keep its own rollback from being judged.
"""

import asyncio
from pathlib import Path

from serving.gateway import names
from serving.gateway.endpoint_routes import routing_key
from serving.gateway.local_http import LocalConnection
from serving.gateway.routing_state import EndpointRoute

_ATTEMPT_S = 2.0
_DEADLINE_S = 10.0
_PAUSE_S = 0.002


class NotServedError(Exception):
    """Envoy acknowledged the epoch, yet its answers do not carry it."""


class Prober:
    """Sends requests to the routes that callers use; no token is needed where only this user may connect."""

    def __init__(self, folder: Path) -> None:
        self._connection = LocalConnection(folder / names.PROBE_SOCKET, timeout_s=_ATTEMPT_S)

    async def see(self, endpoint: EndpointRoute, *, epoch: int) -> None:
        """Return once an answer carries the epoch or a later one; a worker may take it up moments after the ACK.

        Raises:
            NotServedError: the deadline passed.
        """
        headers = {names.ROUTE: routing_key(endpoint), names.ROLE: names.PROBE_ROLE}
        seen = "nothing"
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while not (seen.isdigit() and int(seen) >= epoch):
                    seen = await self._epoch_served(endpoint.name, headers)
                    await asyncio.sleep(0 if seen.isdigit() and int(seen) >= epoch else _PAUSE_S)
        except TimeoutError as error:
            raise NotServedError(f"epoch {epoch} of {endpoint.id} is not served, {seen} is") from error

    async def _epoch_served(self, name: str, headers: dict[str, str]) -> str:
        try:
            answer = await self._connection.request("GET", f"/v2/models/{name}/ready", headers=headers)
        except ConnectionError as error:
            return f"no answer ({error})"
        return answer.headers.get(names.EPOCH, "no epoch")

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
