"""Asks Envoy, through its private listener, which epoch it really serves.

The route answers a probe itself: it must not depend on an engine that may hang, or a bad candidate could block its own
rollback.
"""

from pathlib import Path

from serving.gateway import names
from serving.gateway.endpoint_routes import routing_key
from serving.gateway.local_http import LocalConnection
from serving.gateway.routing_state import EndpointRoute

_ATTEMPT_S = 2.0


class NotServedError(Exception):
    """Envoy gave no answer, or one without an epoch."""


class Prober:
    """Sends requests to the routes that callers use; no token is needed, because only this user can connect."""

    def __init__(self, folder: Path) -> None:
        self._connection = LocalConnection(folder / names.PROBE_SOCKET, timeout_s=_ATTEMPT_S)

    async def epoch_of(self, endpoint: EndpointRoute) -> int:
        """Return the epoch of one answer; a worker may apply the newest one moments after the ACK.

        Raises:
            NotServedError: the answer had none.
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
        """Close the connection."""
        self._connection.close()
