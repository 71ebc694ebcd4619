"""Asks Envoy which instances it has ejected, and remembers each until it has answered a request again."""

import httpx
import msgspec

_TIMEOUT_S = 5.0
_ANSWERED = "rq_success"


class _SocketAddress(msgspec.Struct, frozen=True):
    address: str = ""
    port_value: int = 0


class _Address(msgspec.Struct, frozen=True):
    socket_address: _SocketAddress = _SocketAddress()


class _Health(msgspec.Struct, frozen=True):
    failed_outlier_check: bool = False


class _Stat(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = "0"


class _Host(msgspec.Struct, frozen=True):
    address: _Address = _Address()
    health_status: _Health = _Health()
    stats: tuple[_Stat, ...] = ()

    @property
    def where(self) -> tuple[str, int]:
        return self.address.socket_address.address, self.address.socket_address.port_value

    @property
    def answered(self) -> int:
        return next((int(stat.value) for stat in self.stats if stat.name == _ANSWERED), 0)


class _Cluster(msgspec.Struct, frozen=True):
    name: str = ""
    host_statuses: tuple[_Host, ...] = ()


class _Clusters(msgspec.Struct, frozen=True):
    cluster_statuses: tuple[_Cluster, ...] = ()


class InstanceHealth:
    """What Envoy cannot reach. An ejection ends by itself after a while, which proves nothing; an answer does."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._ejected: dict[tuple[str, tuple[str, int]], int] = {}

    async def unreachable(self) -> frozenset[tuple[str, int]]:
        """Return the addresses of instances that cannot be reached.

        Raises:
            httpx.HTTPError: Envoy does not answer.
            msgspec.DecodeError: it answers something else.
        """
        answer = await self._client.get("/clusters?format=json", timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return self.take(answer.content)

    def take(self, document: bytes) -> frozenset[tuple[str, int]]:
        """Take Envoy's view of its clusters; an instance that it no longer lists is forgotten."""
        ejected: dict[tuple[str, tuple[str, int]], int] = {}
        for cluster in msgspec.json.decode(document, type=_Clusters).cluster_statuses:
            for host in cluster.host_statuses:
                key = (cluster.name, host.where)
                answered_before = self._ejected.get(key)
                if host.health_status.failed_outlier_check:
                    ejected[key] = host.answered
                elif answered_before is not None and host.answered <= answered_before:
                    ejected[key] = answered_before
        self._ejected = ejected
        return frozenset(where for _, where in ejected)
