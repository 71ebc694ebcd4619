"""A burst is let through, then as many as the rate says, each caller by itself and few numbers in memory."""

import pytest

from control_plane.ports import Actor
from control_plane.web import request_limits
from control_plane.web.request_limits import MAX_BUCKETS, RequestLimits, TokenBuckets, TooManyRequestsError, network_of
from tests.support.fakes import FakeClock


def limits(clock: FakeClock, *, per_second: int = 10, burst: int = 20) -> RequestLimits:
    return RequestLimits(per_second=per_second, burst=burst, home="default", clock=clock)


def flood(counted: RequestLimits, actor: Actor) -> None:
    for _ in range(1_000):
        counted.admit_principal(actor)


def a_person(name: str, workspace: str = "default") -> Actor:
    return Actor(principal_id=name, role="operator", workspace=workspace)


@pytest.mark.parametrize(("per_second", "burst"), [(1, 1), (3, 7), (10, 20), (100, 500), (999, 1_000)])
def test_exactly_a_burst_passes_at_once_and_then_exactly_the_rate(per_second: int, burst: int) -> None:
    clock = FakeClock()
    buckets = TokenBuckets(per_second=per_second, burst=burst, clock=clock)

    at_once = sum(buckets.take("one") for _ in range(2 * burst))
    clock.advance(seconds=1)
    a_second_later = sum(buckets.take("one") for _ in range(2 * burst))
    clock.advance(seconds=3_600)
    an_hour_later = sum(buckets.take("one") for _ in range(2 * burst))

    assert (at_once, a_second_later, an_hour_later) == (burst, min(per_second, burst), burst)


def test_a_refused_request_costs_nothing() -> None:
    clock = FakeClock()
    buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
    buckets.take("one")
    refused = [buckets.take("one") for _ in range(1_000)]

    clock.advance(seconds=1)

    assert not any(refused)
    assert buckets.take("one")


def test_one_caller_s_flood_stops_no_other() -> None:
    flooded = limits(FakeClock())
    with pytest.raises(TooManyRequestsError) as caught:
        flood(flooded, a_person("one"))

    flooded.admit_principal(a_person("two"))
    flooded.admit_principal(a_person("one", workspace="other"))
    flooded.admit_address("127.0.0.1")
    assert "ROLLBOOK_API_REQUESTS_PER_SECOND_EACH" in str(caught.value.remedy)


def test_services_of_the_home_workspace_are_never_starved_and_those_of_others_are_callers_like_any() -> None:
    counted = limits(FakeClock())
    flood(counted, Actor(principal_id="agent", role="service", workspace="default"))

    with pytest.raises(TooManyRequestsError):
        flood(counted, Actor(principal_id="agent", role="service", workspace="other"))


def test_a_rate_of_zero_means_no_limit() -> None:
    unlimited = limits(FakeClock(), per_second=0)

    flood(unlimited, a_person("one"))


def test_many_addresses_take_bounded_memory_and_no_principal_s_tokens_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "MAX_BUCKETS", 100)
    clock = FakeClock()
    buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
    counted = limits(clock, per_second=1, burst=1)
    counted.admit_principal(a_person("one"))

    for number in range(1_000):
        assert buckets.take(number)
        counted.admit_address(f"10.0.{number // 256}.{number % 256}")

    assert len(buckets) == 100
    assert not buckets.take(999)
    assert buckets.take(0)
    with pytest.raises(TooManyRequestsError):
        counted.admit_principal(a_person("one"))


def test_the_addresses_that_one_host_has_of_ipv6_are_one_caller() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2%eth0") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("") == ""
    assert MAX_BUCKETS <= 100_000
