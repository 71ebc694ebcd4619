"""The requests that gateways have in progress for each deployment: one page of Envoy's for all, however many."""

import asyncio
from collections.abc import Sequence

import httpx
import msgspec

from workers.autoscaler.errors import PartAwayError

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_AFTER_DEPLOYMENT = "~"
"""The suffix distinguishes a deployment's clusters: for gRPC, and for copies if it is a shadow."""


class Traffic(msgspec.Struct, frozen=True):
    """Requests in progress, including those that wait for an instance, and all requests so far."""

    active: int = 0
    total: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.active + other.active, self.total + other.total)


class _Stat(msgspec.Struct):
    name: str
    value: str = "0"


class _Host(msgspec.Struct):
    stats: list[_Stat] = []


class _Cluster(msgspec.Struct):
    name: str
    host_statuses: list[_Host] = []


class _Clusters(msgspec.Struct):
    cluster_statuses: list[_Cluster] = []


class Gateways:
    """The admin pages of all gateways."""

    def __init__(self, urls: Sequence[str], *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._urls = urls
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def traffic(self) -> dict[str, Traffic]:
        """Return the traffic by deployment.

        Raises:
            PartAwayError: a gateway did not answer, so it is unknown what it has in progress.
        """
        pages = await asyncio.gather(*(self._page(url) for url in self._urls))
        found: dict[str, Traffic] = {}
        for page in pages:
            for cluster in page.cluster_statuses:
                name = cluster.name.partition(_AFTER_DEPLOYMENT)[0]
                found[name] = found.get(name, Traffic()) + _traffic(cluster)
        return found

    async def _page(self, url: str) -> _Clusters:
        try:
            answer = await self._client.get(f"{url}/clusters", params={"format": "json"})
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=_Clusters)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise PartAwayError(f"GET {url}/clusters: {error!r}") from error


def _traffic(cluster: _Cluster) -> Traffic:
    stats = [stat for host in cluster.host_statuses for stat in host.stats]
    return Traffic(
        active=sum(int(stat.value) for stat in stats if stat.name == "rq_active"),
        total=sum(int(stat.value) for stat in stats if stat.name == "rq_total"),
    )
