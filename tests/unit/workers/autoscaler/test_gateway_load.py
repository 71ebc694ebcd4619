"""What gateways have in progress, read from Envoy's page of clusters."""

import httpx
import msgspec
import pytest

from workers.autoscaler.errors import PartAwayError
from workers.autoscaler.gateway_load import Gateways, Traffic


def cluster(name: str, *hosts: tuple[int, int]) -> dict[str, object]:
    stats = [
        {"stats": [{"name": "rq_active", "value": str(active)}, {"name": "rq_total", "value": str(total)}]}
        for active, total in hosts
    ]
    return {"name": name, "host_statuses": stats}


def gateways(pages: dict[str, list[dict[str, object]] | int]) -> Gateways:
    def answer(request: httpx.Request) -> httpx.Response:
        page = pages[request.url.host]
        if isinstance(page, int):
            return httpx.Response(page)
        return httpx.Response(200, content=msgspec.json.encode({"cluster_statuses": page}))

    return Gateways([f"http://{host}" for host in pages], transport=httpx.MockTransport(answer))


async def test_a_deployment_is_the_sum_of_its_clusters_at_all_gateways() -> None:
    east = [cluster("d1", (1, 10), (2, 20)), cluster("d1~grpc", (4, 40)), cluster("d2", (0, 5))]
    measured = gateways({"east": east, "west": [cluster("d1", (8, 80))]})

    assert await measured.traffic() == {"d1": Traffic(active=15, total=150), "d2": Traffic(active=0, total=5)}


async def test_a_cluster_without_instances_has_nothing_under_way() -> None:
    measured = gateways({"east": [{"name": "d1"}]})

    assert await measured.traffic() == {"d1": Traffic()}


@pytest.mark.parametrize("page", [503, [{"name": 7}]])
async def test_one_gateway_that_does_not_answer_leaves_all_unknown(page: list[dict[str, object]] | int) -> None:
    measured = gateways({"east": [cluster("d1", (1, 1))], "west": page})

    with pytest.raises(PartAwayError, match="west"):
        await measured.traffic()
