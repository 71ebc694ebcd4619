import pytest

from control_plane.endpoints import errors
from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.resources import ENDPOINTS
from control_plane.endpoints.traffic import decisions, ownership
from control_plane.endpoints.traffic.commands import (
    ConfirmTraffic,
    ReleaseEndpoint,
    ReserveEndpoint,
    RestoreTraffic,
    SetTraffic,
)
from schemas.events.endpoints import (
    DeploymentRemoved,
    EndpointCreated,
    EndpointReleased,
    EndpointReserved,
    TrafficApplied,
)
from tests.support.builders import (
    BASELINE,
    CANDIDATE,
    deployment_added,
    endpoint_with_two,
    reserved_endpoint,
    serving_endpoint,
    traffic,
)
from tests.support.spec import Given

ROLLOUT = "rollout-1"
READY = {BASELINE: 1, CANDIDATE: 1}


def given(*events: object) -> Given[Endpoint]:
    return Given(ENDPOINTS, *events)  # type: ignore[arg-type]


def shift(*weights: tuple[str, float]) -> SetTraffic:
    return SetTraffic(weights=weights, reason="because")


def test_traffic_is_split_and_the_epoch_is_the_version_of_that_event() -> None:
    given_two = given(*endpoint_with_two())

    (shifted,) = given_two.when(
        lambda state: decisions.set_traffic(state, shift((BASELINE, 95), (CANDIDATE, 5)), ready=READY)
    ).then_events()
    after = given_two.happens(shifted)

    assert shifted == traffic((BASELINE, 0, 9_500), (CANDIDATE, 9_500, 10_000))
    assert after.state.traffic.epoch == after.version == 5


@pytest.mark.parametrize(
    ("weights", "words", "field"),
    [
        (((BASELINE, 95.0), (CANDIDATE, 4.0)), "sum to 99 %", "weights"),
        (((BASELINE, 50.0), (BASELINE, 50.0)), "named twice", "weights[1].deployment_id"),
        ((("deployment-other", 100.0),), "not a deployment of endpoint digits", "weights[0].deployment_id"),
        (((BASELINE, 99.999), (CANDIDATE, 0.001)), "is not a valid weight", "weights[0].weight_percent"),
        (((BASELINE, 101.0), (CANDIDATE, -1.0)), "101 % is not a valid weight", "weights[0].weight_percent"),
        ((), "sum to 0 %", "weights"),
    ],
)
def test_weights_that_split_nothing_are_refused(weights: tuple[tuple[str, float], ...], words: str, field: str) -> None:
    given(*endpoint_with_two()).when(
        lambda state: decisions.set_traffic(state, shift(*weights), ready=READY)
    ).then_refused(errors.InvalidWeightsError, words, field=field)


def test_the_weights_that_are_set_already_write_nothing() -> None:
    given(*serving_endpoint()).when(
        lambda state: decisions.set_traffic(state, shift((BASELINE, 100)), ready=READY)
    ).then_nothing()


def test_a_deployment_without_a_ready_instance_gets_no_more_traffic() -> None:
    given(*endpoint_with_two()).when(
        lambda state: decisions.set_traffic(state, shift((BASELINE, 95), (CANDIDATE, 5)), ready={BASELINE: 1})
    ).then_refused(errors.DeploymentNotReadyError, CANDIDATE, field="weights")


def test_the_first_split_may_come_before_the_first_instance() -> None:
    created = EndpointCreated(name="digits", description="", salt="salt")

    given(created, deployment_added()).when(
        lambda state: decisions.set_traffic(state, shift((BASELINE, 100)), ready={})
    ).then(traffic((BASELINE, 0, 10_000)))


def test_only_the_rollout_that_owns_the_endpoint_changes_its_traffic() -> None:
    by_hand = shift((BASELINE, 50), (CANDIDATE, 50))
    by_owner = SetTraffic(weights=by_hand.weights, reason="because", rollout_id=ROLLOUT, step=2)

    owned = given(*reserved_endpoint(ROLLOUT))

    owned.when(lambda state: decisions.set_traffic(state, by_hand, ready=READY)).then_refused(
        errors.EndpointOwnedByRolloutError, ROLLOUT
    )
    owned.when(lambda state: decisions.set_traffic(state, by_owner, ready=None)).then(
        traffic((BASELINE, 0, 5_000), (CANDIDATE, 5_000, 10_000), rollout_id=ROLLOUT, step=2)
    )


def test_a_second_rollout_can_not_reserve_the_endpoint() -> None:
    owned = given(*reserved_endpoint(ROLLOUT))

    owned.when(lambda state: ownership.reserve(state, ReserveEndpoint(rollout_id="rollout-2"))).then_refused(
        errors.EndpointOwnedByRolloutError, ROLLOUT
    )
    owned.when(lambda state: ownership.reserve(state, ReserveEndpoint(rollout_id=ROLLOUT))).then_nothing()


def test_only_the_owner_releases_the_endpoint() -> None:
    owned = given(*reserved_endpoint(ROLLOUT))

    owned.when(lambda state: ownership.release(state, ReleaseEndpoint(rollout_id="rollout-2"))).then_nothing()
    owned.when(lambda state: ownership.release(state, ReleaseEndpoint(rollout_id=ROLLOUT))).then(
        EndpointReleased(rollout_id=ROLLOUT)
    )
    assert owned.happens(EndpointReleased(rollout_id=ROLLOUT)).state.traffic.owner is None


def test_a_rollback_gives_each_bucket_back_to_whom_it_had() -> None:
    split = traffic((BASELINE, 0, 2_000), (CANDIDATE, 2_000, 10_000))

    given(*endpoint_with_two(), split, traffic((CANDIDATE, 0, 10_000))).when(
        lambda state: decisions.restore_traffic(state, RestoreTraffic(epoch=None, reason="because"), ready=READY)
    ).then(split)


def test_a_rollback_goes_to_the_named_epoch() -> None:
    given(*endpoint_with_two(), traffic((CANDIDATE, 0, 5_000), (BASELINE, 5_000, 10_000))).when(
        lambda state: decisions.restore_traffic(state, RestoreTraffic(epoch=3, reason="because"), ready=READY)
    ).then(traffic((BASELINE, 0, 10_000)))


def test_a_rollback_without_an_epoch_skips_what_can_not_be_served_any_more() -> None:
    history = (
        *endpoint_with_two(),
        deployment_added("deployment-third", number=3),
        traffic((CANDIDATE, 0, 10_000)),
        traffic((BASELINE, 0, 10_000)),
        DeploymentRemoved(deployment_id=CANDIDATE, reason="bad"),
        traffic(("deployment-third", 0, 10_000)),
    )

    given(*history).when(
        lambda state: decisions.restore_traffic(state, RestoreTraffic(epoch=None, reason="because"), ready=READY)
    ).then(traffic((BASELINE, 0, 10_000)))


def test_a_rollback_to_a_removed_deployment_is_refused() -> None:
    history = (
        *endpoint_with_two(),
        traffic((CANDIDATE, 0, 10_000)),
        DeploymentRemoved(deployment_id=BASELINE, reason="old"),
    )

    given(*history).when(
        lambda state: decisions.restore_traffic(state, RestoreTraffic(epoch=3, reason="because"), ready=READY)
    ).then_refused(errors.EarlierTrafficGoneError, BASELINE, "since removed", field="epoch")


@pytest.mark.parametrize("epoch", [None, 3])
def test_a_rollback_to_a_deployment_without_a_ready_instance_is_refused(epoch: int | None) -> None:
    given(*endpoint_with_two(), traffic((CANDIDATE, 0, 10_000))).when(
        lambda state: decisions.restore_traffic(
            state, RestoreTraffic(epoch=epoch, reason="because"), ready={CANDIDATE: 1}
        )
    ).then_refused(errors.DeploymentNotReadyError, f"no instance of {BASELINE} is ready", field="epoch")


def test_a_rollback_needs_no_ready_instance_of_a_deployment_that_gets_no_more_than_it_has() -> None:
    before = traffic((BASELINE, 0, 5_000), (CANDIDATE, 5_000, 10_000))
    after = traffic((CANDIDATE, 0, 2_500), (BASELINE, 2_500, 10_000))

    given(*endpoint_with_two(), before, after).when(
        lambda state: decisions.restore_traffic(
            state, RestoreTraffic(epoch=None, reason="because"), ready={CANDIDATE: 1}
        )
    ).then(before)


def test_the_first_traffic_has_nothing_to_roll_back_to() -> None:
    given(*serving_endpoint()).when(
        lambda state: decisions.restore_traffic(state, RestoreTraffic(epoch=None, reason="because"), ready=READY)
    ).then_refused(errors.EarlierTrafficGoneError, "no earlier traffic split", field="epoch")


def confirmation(epoch: int, region: str = "local", gateway: str = "gateway-1") -> ConfirmTraffic:
    return ConfirmTraffic(epoch=epoch, region=region, gateway_id=gateway, applied_at="2026-01-02T03:04:05.678Z")


def test_a_gateway_confirms_an_epoch_once() -> None:
    applied = TrafficApplied(epoch=3, region="local", gateway_id="gateway-1", applied_at="2026-01-02T03:04:05.678Z")
    endpoint = given(*serving_endpoint())

    endpoint.when(lambda state: decisions.confirm_traffic(state, confirmation(3))).then(applied)
    endpoint.happens(applied)

    endpoint.when(lambda state: decisions.confirm_traffic(state, confirmation(3))).then_nothing()
    assert endpoint.when(lambda state: decisions.confirm_traffic(state, confirmation(3, "other"))).then_events()


def test_each_gateway_of_a_region_confirms_an_epoch() -> None:
    first, second = (
        TrafficApplied(epoch=3, region="local", gateway_id=each, applied_at="2026-01-02T03:04:05.678Z")
        for each in ("gateway-1", "gateway-2")
    )
    endpoint = given(*serving_endpoint()).happens(first)

    endpoint.when(lambda state: decisions.confirm_traffic(state, confirmation(3, gateway="gateway-2"))).then(second)
    endpoint.happens(second)

    assert endpoint.state.traffic.applied == (first, second)


def test_an_epoch_that_is_over_is_not_confirmed_any_more() -> None:
    given(*endpoint_with_two(), traffic((CANDIDATE, 0, 10_000))).when(
        lambda state: decisions.confirm_traffic(state, confirmation(3))
    ).then_nothing()


@pytest.mark.parametrize("epoch", [0, 4, -1])
def test_an_epoch_that_never_was_is_refused(epoch: int) -> None:
    given(*serving_endpoint()).when(lambda state: decisions.confirm_traffic(state, confirmation(epoch))).then_refused(
        errors.InvalidConfirmationError, f"no epoch {epoch}", field="epoch"
    )


def test_the_owner_shows_in_the_state() -> None:
    assert given(*serving_endpoint(), EndpointReserved(rollout_id=ROLLOUT)).state.traffic.owner == ROLLOUT
