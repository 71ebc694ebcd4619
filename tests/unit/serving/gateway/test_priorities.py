import msgspec
import pytest

from schemas.events.endpoints import FailoverPolicy
from schemas.scaling import ScalingPolicy
from serving.gateway.priorities import Home, Level, levels_of, load_assignment
from serving.gateway.retries import MAX_HELD, policy_in_force, retries, tries_a_level
from serving.gateway.routing_state import EndpointRoute
from tests.support.routing import added, instance, route

WHERE = (("eu", "a"), ("eu", "b"), ("us", "a"), ("ap", "a"))


def endpoint(**policy: object) -> EndpointRoute:
    return route(
        deployments={name: added(name, number=number).version for number, name in enumerate(("d1", "d2"), 1)},
        failover=FailoverPolicy(**policy),  # type: ignore[arg-type]
    )


def levels(home: Home, deployment_id: str = "d1", **policy: object) -> list[list[str]]:
    return [[each.id for each in level.instances] for level in built(home, deployment_id, **policy)]


def built(home: Home, deployment_id: str = "d1", /, **policy: object) -> tuple[Level, ...]:
    return levels_of(
        deployment_id,
        endpoint=endpoint(**policy),
        home=home,
        instances_of=lambda name: [
            instance(f"{name}-{region}-{zone}", deployment_id=name, region=region, zone=zone) for region, zone in WHERE
        ],
    )


def test_the_own_region_comes_first_and_any_other_next() -> None:
    assert levels(Home(region="eu")) == [["d1-eu-a", "d1-eu-b"], ["d1-ap-a", "d1-us-a"]]


def test_the_own_zone_comes_before_the_rest_of_the_region() -> None:
    assert levels(Home(region="eu", zone="b"))[:2] == [["d1-eu-b"], ["d1-eu-a"]]


def test_backup_regions_come_in_their_order_and_no_other_is_asked() -> None:
    assert levels(Home(region="eu"), backup_regions=("us", "ap"))[1:] == [["d1-us-a"], ["d1-ap-a"]]
    assert levels(Home(region="us"), backup_regions=("us", "ap")) == [["d1-us-a"], ["d1-ap-a"]]
    assert levels(Home(region="us"), backup_regions=()) == [["d1-us-a"]]


def test_the_backup_version_comes_after_the_version_in_all_regions() -> None:
    found = levels(Home(region="eu"), backup_deployment_id="d2", backup_regions=("us",))

    assert found == [["d1-eu-a", "d1-eu-b"], ["d1-us-a"], ["d2-eu-a", "d2-eu-b"], ["d2-us-a"]]


def test_a_deployment_is_no_backup_of_itself() -> None:
    assert len(levels(Home(region="eu"), "d2", backup_deployment_id="d2")) == 2


def test_a_level_without_instances_keeps_its_number() -> None:
    found = built(Home(region="mars"), backup_regions=("us", "venus", "ap"))

    assignment = load_assignment("d1", found, endpoint=endpoint())

    priorities = {part.locality.region: part.priority for part in assignment.endpoints}
    assert priorities == {"mars": 0, "us": 1, "venus": 2, "ap": 3}


def test_the_waiting_room_stands_below_all_levels() -> None:
    empty = tuple(Level(deployment_id="d1", region=region) for region in ("mars", "venus"))

    assignment = load_assignment("d1", empty, endpoint=endpoint(), held=True)

    asked = [(part.priority, each.endpoint.address) for part in assignment.endpoints for each in part.lb_endpoints]
    assert [(priority, address.pipe.path) for priority, address in asked] == [(2, "hold/d1.sock")]


def test_what_is_held_may_be_tried_again_whatever_the_policy_says() -> None:
    strict = endpoint(max_retries=0, retries_at_once=1)

    asleep = msgspec.structs.replace(strict.document, scaling=ScalingPolicy(min_replicas=0, in_flight=1.0))
    held = policy_in_force(msgspec.structs.replace(strict, document=asleep))

    assert (held.max_retries, held.retries_at_once) == (1, MAX_HELD)
    assert policy_in_force(strict) == strict.failover


def test_an_instance_says_itself_whose_it_is() -> None:
    assignment = load_assignment(
        "d1", built(Home(region="eu"), backup_deployment_id="d2"), endpoint=endpoint(backup_deployment_id="d2")
    )

    last = assignment.endpoints[-1].lb_endpoints[0].metadata.filter_metadata["rollbook"]
    assert (last["deployment_id"], last["version"], last["region"]) == ("d2", "digits/2", "us")


def test_another_version_is_no_spare_capacity() -> None:
    def factor(**policy: object) -> int:
        assignment = load_assignment("d1", built(Home(region="eu"), "d1", **policy), endpoint=endpoint(**policy))
        return int(assignment.policy.overprovisioning_factor.value)

    assert factor() == 140
    assert factor(backup_deployment_id="d2") > 100_000


@pytest.mark.parametrize(
    ("policy", "levels", "expected"),
    [
        (FailoverPolicy(), 1, 2),
        (FailoverPolicy(), 2, 2),
        (FailoverPolicy(), 3, 4),
        (FailoverPolicy(), 12, 10),
        (FailoverPolicy(max_retries=0), 3, 0),
    ],
)
def test_a_request_is_tried_often_enough_to_reach_the_last_level(
    policy: FailoverPolicy, levels: int, expected: int
) -> None:
    assert retries(policy, levels=levels) == expected
    assert policy.max_retries == 0 or retries(policy, levels=levels) >= min(tries_a_level(levels) * (levels - 1), 10)
