import pytest

from schemas.events.endpoints import FailoverPolicy
from serving.gateway.failover_watch import (
    END_AFTER_MS,
    START_AFTER_MS,
    Ended,
    FailoverWatch,
    Picture,
    Standing,
    Started,
    Transition,
)
from serving.gateway.priorities import Home, levels_of
from tests.support.routing import added, instance, route
from tests.unit.control_plane.endpoints.failover.test_failover import started

EU, US = ("eu", 1), ("us", 2)


class Region:
    """The region `eu`, where d1 is served from instances by region, with d2 as what may be its backup."""

    def __init__(self, *, placed: tuple[str, ...] = (), backup: str | None = None, going_on: bool = False) -> None:
        self.endpoint = route(
            deployments={name: added(name, number=number).version for number, name in enumerate(("d1", "d2"), 1)},
            failover=FailoverPolicy(backup_deployment_id=backup),
            placements={"d1": placed} if placed else {},
        )
        going = [("endpoint-1", started())] if going_on else []
        self.watch = FailoverWatch("eu", going_on=going)
        self.now_ms = 1_000_000

    def look(
        self,
        *where: tuple[str, int],
        lost: tuple[int, ...] = (),
        backup: tuple[tuple[str, int], ...] = (),
        serving: frozenset[str] = frozenset({"d1"}),
    ) -> list[Transition]:
        """Look at instances of d1 and of the backup, each a region and a port; some ports cannot be reached."""
        instances = {
            name: [
                instance(f"{name}-{region}-{port}", deployment_id=name, region=region, port=port)
                for region, port in those
            ]
            for name, those in (("d1", where), ("d2", backup))
        }
        levels = levels_of("d1", endpoint=self.endpoint, home=Home(region="eu"), instances_of=instances.__getitem__)
        picture = Picture(
            serving=serving,
            standings=(Standing(endpoint=self.endpoint, deployment_id="d1", levels=levels),) if serving else (),
            unreachable=frozenset(("127.0.0.1", port) for port in lost),
        )
        return self.watch.look(picture, now_ms=self.now_ms)

    def after(self, elapsed_ms: int) -> "Region":
        self.now_ms += elapsed_ms
        return self


def test_a_region_that_loses_its_last_instance_for_a_while_is_failed_over_once() -> None:
    region = Region()

    assert region.look(EU, US) == []
    assert region.after(10_000).look(US) == []
    assert region.after(START_AFTER_MS - 1).look(US) == []
    assert region.after(1).look(US) == [
        Started(
            endpoint_id="endpoint-1",
            deployment_id="d1",
            from_region="eu",
            to_deployment_id="d1",
            to_region="us",
            code="no-instance",
            reason="no instance is announced in eu",
        )
    ]
    assert region.after(60_000).look(US) == []


def test_instances_that_envoy_gave_up_count_as_lost() -> None:
    region = Region()
    region.look(EU, ("eu", 9), US)

    region.look(EU, ("eu", 9), US, lost=(1, 9))
    (begun,) = region.after(START_AFTER_MS).look(EU, ("eu", 9), US, lost=(1, 9))

    assert isinstance(begun, Started)
    assert (begun.code, begun.reason) == (
        "instances-unreachable",
        "2 of 2 announced instances in eu cannot be reached",
    )


def test_one_instance_of_two_that_is_lost_is_no_failover() -> None:
    region = Region()
    region.look(EU, ("eu", 9), US)

    assert region.after(START_AFTER_MS).look(EU, ("eu", 9), US, lost=(1,)) == []
    assert region.after(START_AFTER_MS).look(EU, ("eu", 9), US, lost=(1,)) == []


def test_a_failover_ends_when_the_usual_instances_have_stayed_back() -> None:
    region = Region()
    region.look(EU, US)
    region.look(US)
    region.after(START_AFTER_MS).look(US)

    assert region.after(1_000).look(EU, US) == []
    assert region.after(END_AFTER_MS - 1).look(EU, US) == []
    (ended,) = region.after(1).look(EU, US)

    assert ended == Ended(endpoint_id="endpoint-1", deployment_id="d1", reason="1 instance in eu is back")
    assert region.after(60_000).look(EU, US) == []


def test_an_instance_that_comes_and_goes_makes_no_stream_of_events() -> None:
    region = Region()
    region.look(EU, US)
    found: list[Transition] = []

    for _ in range(50):
        found += region.after(START_AFTER_MS - 100).look(US)
        found += region.after(END_AFTER_MS - 100).look(EU, US)
        found += region.after(START_AFTER_MS + 100).look(US)
        found += region.after(START_AFTER_MS + 100).look(US)

    assert [type(each) for each in found] == [Started]


def test_a_backup_version_that_takes_over_from_the_next_region_is_told_as_well() -> None:
    region = Region(backup="d2")
    region.look(EU, US, backup=(("eu", 5),))
    region.look(US, backup=(("eu", 5),))
    region.after(START_AFTER_MS).look(US, backup=(("eu", 5),))

    region.after(1).look(backup=(("eu", 5),))
    (second,) = region.after(START_AFTER_MS).look(backup=(("eu", 5),))

    assert isinstance(second, Started)
    assert (second.from_region, second.to_deployment_id, second.to_region) == ("eu", "d2", "eu")


def test_where_nobody_is_left_nothing_takes_over_and_nothing_ends() -> None:
    region = Region()
    region.look(EU, US)
    region.look(US)
    region.after(START_AFTER_MS).look(US)

    assert region.after(60_000).look() == []
    assert region.after(60_000).look(US) == []


def test_a_deployment_that_is_usually_elsewhere_is_no_failover() -> None:
    region = Region()

    assert region.look(US) == []
    assert region.after(60_000).look(US) == []


def test_a_placement_says_what_is_usual_before_anything_answered() -> None:
    region = Region(placed=("eu", "us"))

    assert region.look(US) == []
    assert [type(each) for each in region.after(START_AFTER_MS).look(US)] == [Started]


@pytest.mark.parametrize("lost", [(), (1,)])
def test_a_restarted_follower_goes_on_with_what_the_log_says(lost: tuple[int, ...]) -> None:
    region = Region(going_on=True)

    region.look(EU, US, lost=lost)
    found = region.after(END_AFTER_MS).look(EU, US, lost=lost)

    assert [type(each) for each in found] == ([] if lost else [Ended])


def test_a_deployment_that_is_asked_no_more_has_no_failover_any_more() -> None:
    region = Region(going_on=True)

    (ended,) = region.look(serving=frozenset())

    assert ended == Ended(endpoint_id="endpoint-1", deployment_id="d1", reason="the deployment no longer takes traffic")
