"""Which regions serve an endpoint, and which epoch each of them serves."""

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.resources import ENDPOINTS, endpoint_row
from schemas.documents.endpoints import ServingGateway, ServingRegion
from schemas.envelope import rfc3339
from schemas.events.endpoints import TrafficApplied
from tests.support.builders import BASELINE, CANDIDATE, endpoint_with_two, traffic
from tests.support.spec import BEGAN_MS, Given

HOUR_MS = 3_600_000
HALF = traffic((BASELINE, 0, 5_000), (CANDIDATE, 5_000, 10_000))
WHOLE = traffic((BASELINE, 0, 10_000))


def applied(epoch: int, *regions: str, gateway: str = "gateway-1") -> list[TrafficApplied]:
    moment = rfc3339(BEGAN_MS)
    return [TrafficApplied(epoch=epoch, region=each, gateway_id=gateway, applied_at=moment) for each in regions]


def serving(region: str, *, epoch: int, first_epoch: int, behind_since: str | None = None) -> ServingRegion:
    """Make a region with a single gateway."""
    gateway = ServingGateway(gateway_id="gateway-1", epoch=epoch, first_epoch=first_epoch, behind_since=behind_since)
    return ServingRegion(
        region=region, epoch=epoch, first_epoch=first_epoch, behind_since=behind_since, gateways=(gateway,)
    )


def served() -> Given[Endpoint]:
    """Make an endpoint whose first traffic, epoch 3, is served in two regions."""
    return Given(ENDPOINTS, *endpoint_with_two()).happens(*applied(3, "us", "eu"))


def test_a_region_belongs_to_an_endpoint_once_it_serves_it() -> None:
    assert Given(ENDPOINTS, *endpoint_with_two()).state.traffic.regions == ()
    assert served().state.traffic.regions == (
        serving("eu", epoch=3, first_epoch=3),
        serving("us", epoch=3, first_epoch=3),
    )


def test_a_region_is_behind_from_when_another_epoch_is_set_until_it_serves_the_current_one() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS + HOUR_MS).happens(*applied(7, "eu"))
    since = rfc3339(BEGAN_MS + HOUR_MS)

    behind = endpoint.state.traffic.regions
    endpoint.happens(WHOLE, at_ms=BEGAN_MS + 2 * HOUR_MS)
    still = endpoint.state.traffic.regions
    endpoint.happens(*applied(9, "us"))

    assert behind == (
        serving("eu", epoch=7, first_epoch=3),
        serving("us", epoch=3, first_epoch=3, behind_since=since),
    )
    assert [each.behind_since for each in still] == [rfc3339(BEGAN_MS + 2 * HOUR_MS), since]
    assert endpoint.state.traffic.regions[1] == serving("us", epoch=9, first_epoch=3)
    assert endpoint_row(endpoint.state).regions == endpoint.state.traffic.regions


def test_a_region_that_is_behind_for_a_day_is_gone_until_it_serves_the_endpoint_again() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS).happens(*applied(7, "eu"))

    endpoint.happens(WHOLE, at_ms=BEGAN_MS + 24 * HOUR_MS)
    after_a_day = {each.region for each in endpoint.state.traffic.regions}
    endpoint.happens(*applied(9, "eu")).happens(HALF, at_ms=BEGAN_MS + 24 * HOUR_MS + 1)
    later = {each.region for each in endpoint.state.traffic.regions}
    endpoint.happens(*applied(11, "us"))

    assert (after_a_day, later) == ({"eu", "us"}, {"eu"})
    assert endpoint.state.traffic.regions[1] == serving("us", epoch=11, first_epoch=11)


def test_a_region_that_serves_the_current_epoch_is_not_gone_however_old_that_is() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS + 1_000 * HOUR_MS)

    assert {each.region for each in endpoint.state.traffic.regions} == {"eu", "us"}


def test_a_gateway_is_behind_though_another_of_its_region_serves_the_current_epoch() -> None:
    endpoint = served().happens(*applied(3, "us", gateway="gateway-2"))

    endpoint.happens(HALF, at_ms=BEGAN_MS + HOUR_MS).happens(*applied(8, "us"))
    region = endpoint.state.traffic.regions[1]
    endpoint.happens(*applied(8, "us", gateway="gateway-2"))
    both = endpoint.state.traffic.regions[1]

    slow = ServingGateway(gateway_id="gateway-2", epoch=3, first_epoch=3, behind_since=rfc3339(BEGAN_MS + HOUR_MS))
    assert (region.epoch, region.behind_since, region.gateways[1]) == (8, None, slow)
    assert [(each.gateway_id, each.epoch, each.behind_since) for each in both.gateways] == [
        ("gateway-1", 8, None),
        ("gateway-2", 8, None),
    ]


def test_a_gateway_that_is_behind_for_a_day_is_gone_and_its_region_stays() -> None:
    endpoint = served().happens(*applied(3, "us", gateway="gateway-2"))
    endpoint.happens(HALF, at_ms=BEGAN_MS).happens(*applied(8, "eu", "us"))

    endpoint.happens(WHOLE, at_ms=BEGAN_MS + 24 * HOUR_MS + 1)

    region = endpoint.state.traffic.regions[1]
    assert (region.region, [each.gateway_id for each in region.gateways]) == ("us", ["gateway-1"])
