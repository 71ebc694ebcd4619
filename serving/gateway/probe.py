"""Asks Envoy, over its private listener, which epoch it really serves.

The route answers a probe itself: whether the gateway routes by an epoch must not hang on an engine that hangs,
or a bad candidate could keep its own rollback from being judged.
"""

from pathlib import Path

from serving.gateway import names
from serving.gateway.endpoint_routes import routing_key
from serving.gateway.local_http import LocalConnection
from serving.gateway.routing_state import EndpointRoute

_ATTEMPT_S = 2.0


class NotServedError(Exception):
    """Envoy gave no answer, or one that carries no epoch."""


class Prober:
    """Sends requests to the routes that callers use; no token is needed where only this user may connect."""

    def __init__(self, folder: Path) -> None:
        self._connection = LocalConnection(folder / names.PROBE_SOCKET, timeout_s=_ATTEMPT_S)

    async def epoch_of(self, endpoint: EndpointRoute) -> int:
        """Return the epoch that one answer carries; a worker may take up the newest moments after the ACK.

        Raises:
            NotServedError: there was none.
        """
        headers = {names.ROUTE: routing_key(endpoint), names.ROLE: names.PROBE_ROLE}
        try:
            answer = await self._connection.request("GET", f"/v2/models/{endpoint.name}/ready", headers=headers)
        except ConnectionError as error:
            raise NotServedError(f"no answer ({error})") from error
        epoch = answer.headers.get(names.EPOCH, "")
        if not epoch.isdigit():
            raise NotServedError(f"an answer with status {answer.status} and no epoch")
        return int(epoch)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
