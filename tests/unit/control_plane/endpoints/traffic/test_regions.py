"""Which regions serve an endpoint, and which epoch each of them serves."""

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.resources import ENDPOINTS, endpoint_row
from schemas.documents.endpoints import ServingRegion
from schemas.envelope import rfc3339
from schemas.events.endpoints import TrafficApplied
from tests.support.builders import BASELINE, CANDIDATE, endpoint_with_two, traffic
from tests.support.spec import BEGAN_MS, Given

HOUR_MS = 3_600_000
HALF = traffic((BASELINE, 0, 5_000), (CANDIDATE, 5_000, 10_000))
WHOLE = traffic((BASELINE, 0, 10_000))


def applied(epoch: int, *regions: str) -> list[TrafficApplied]:
    moment = rfc3339(BEGAN_MS)
    return [TrafficApplied(epoch=epoch, region=each, gateway_id="gateway-1", applied_at=moment) for each in regions]


def served() -> Given[Endpoint]:
    """Make an endpoint whose first traffic, epoch 3, is served in two regions."""
    return Given(ENDPOINTS, *endpoint_with_two()).happens(*applied(3, "us", "eu"))


def test_a_region_belongs_to_an_endpoint_once_it_serves_it() -> None:
    assert Given(ENDPOINTS, *endpoint_with_two()).state.traffic.regions == ()
    assert served().state.traffic.regions == (
        ServingRegion(region="eu", epoch=3, first_epoch=3),
        ServingRegion(region="us", epoch=3, first_epoch=3),
    )


def test_a_region_is_behind_from_when_another_epoch_is_set_until_it_serves_the_current_one() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS + HOUR_MS).happens(*applied(7, "eu"))
    since = rfc3339(BEGAN_MS + HOUR_MS)

    behind = endpoint.state.traffic.regions
    endpoint.happens(WHOLE, at_ms=BEGAN_MS + 2 * HOUR_MS)
    still = endpoint.state.traffic.regions
    endpoint.happens(*applied(9, "us"))

    assert behind == (
        ServingRegion(region="eu", epoch=7, first_epoch=3),
        ServingRegion(region="us", epoch=3, first_epoch=3, behind_since=since),
    )
    assert [each.behind_since for each in still] == [rfc3339(BEGAN_MS + 2 * HOUR_MS), since]
    assert endpoint.state.traffic.regions[1] == ServingRegion(region="us", epoch=9, first_epoch=3)
    assert endpoint_row(endpoint.state).regions == endpoint.state.traffic.regions


def test_a_region_that_is_behind_for_a_day_is_gone_until_it_serves_the_endpoint_again() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS).happens(*applied(7, "eu"))

    endpoint.happens(WHOLE, at_ms=BEGAN_MS + 24 * HOUR_MS)
    after_a_day = {each.region for each in endpoint.state.traffic.regions}
    endpoint.happens(*applied(9, "eu")).happens(HALF, at_ms=BEGAN_MS + 24 * HOUR_MS + 1)
    later = {each.region for each in endpoint.state.traffic.regions}
    endpoint.happens(*applied(11, "us"))

    assert (after_a_day, later) == ({"eu", "us"}, {"eu"})
    assert endpoint.state.traffic.regions[1] == ServingRegion(region="us", epoch=11, first_epoch=11)


def test_a_region_that_serves_the_current_epoch_is_not_gone_however_old_that_is() -> None:
    endpoint = served().happens(HALF, at_ms=BEGAN_MS + 1_000 * HOUR_MS)

    assert {each.region for each in endpoint.state.traffic.regions} == {"eu", "us"}
