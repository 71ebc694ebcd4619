import pytest

from control_plane.endpoints.aggregate import Endpoint
from control_plane.endpoints.deployments.commands import RemoveDeployment
from control_plane.endpoints.deployments.decisions import remove_deployment
from control_plane.endpoints.errors import (
    DeploymentIsBackupError,
    DeploymentNotFoundError,
    InvalidFailoverPolicyError,
    InvalidRegionsError,
)
from control_plane.endpoints.failover import decisions
from control_plane.endpoints.failover.commands import SetFailoverPolicy
from control_plane.endpoints.resources import ENDPOINTS
from schemas.events.endpoints import (
    DeploymentPlaced,
    DeploymentRemoved,
    FailoverEnded,
    FailoverPolicy,
    FailoverPolicySet,
    FailoverStarted,
)
from schemas.failover import ReportFailoverEnd, ReportFailoverStart
from tests.support.routing import added, created, shifted
from tests.support.spec import Given

AT = "2026-01-02T03:04:05.678Z"


def endpoint() -> Given[Endpoint]:
    """Serve digits/1 from d1, with digits/2 on d2 beside it."""
    return Given(ENDPOINTS, created(), added("d1", number=1), added("d2", number=2), shifted(d1=[(0, 10_000)]))


def setting(**policy: object) -> SetFailoverPolicy:
    return SetFailoverPolicy(policy=FailoverPolicy(**policy), reason="because")  # type: ignore[arg-type]


def started(**changes: str) -> FailoverStarted:
    fields = {
        "region": "eu",
        "deployment_id": "d1",
        "from_region": "eu",
        "to_deployment_id": "d1",
        "to_region": "us",
        "code": "no-instance",
        "reason": "none is announced",
        "observed_at": AT,
        **changes,
    }
    return FailoverStarted(**fields)


def reported(event: FailoverStarted) -> ReportFailoverStart:
    return ReportFailoverStart(**{name: getattr(event, name) for name in event.__struct_fields__})


@pytest.mark.parametrize("name", ["d2", "version-2", "digits/2"])
def test_the_backup_is_named_by_its_deployment_or_its_version(name: str) -> None:
    policy = FailoverPolicy(backup_deployment_id="d2", backup_regions=("us", "ap"))

    endpoint().when(
        lambda state: decisions.set_failover_policy(
            state, setting(backup_deployment_id=name, backup_regions=("us", "ap"))
        )
    ).then(FailoverPolicySet(policy=policy, reason="because"))


def test_the_same_policy_again_changes_nothing() -> None:
    given = endpoint()

    given.when(lambda state: decisions.set_failover_policy(state, setting())).then_nothing()


def test_a_backup_that_is_not_deployed_is_refused() -> None:
    endpoint().when(
        lambda state: decisions.set_failover_policy(state, setting(backup_deployment_id="digits/3"))
    ).then_refused(InvalidFailoverPolicyError, "digits/3", field="policy.backup")


@pytest.mark.parametrize("regions", [("eu", "eu"), ("",), ("a b",), tuple("abcdef")])
def test_backup_regions_are_names_that_stand_once(regions: tuple[str, ...]) -> None:
    endpoint().when(lambda state: decisions.set_failover_policy(state, setting(backup_regions=regions))).then_refused(
        InvalidRegionsError, field="policy.backup_regions"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_retries", 11),
        ("per_try_timeout_ms", 9),
        ("per_try_timeout_ms", 60_001),
        ("max_connections", 0),
        ("max_pending", 1_000_001),
        ("max_requests", 0),
        ("retries_at_once", -1),
    ],
)
def test_a_bound_that_no_gateway_can_keep_is_refused(field: str, value: int) -> None:
    endpoint().when(lambda state: decisions.set_failover_policy(state, setting(**{field: value}))).then_refused(
        InvalidFailoverPolicyError, field, field=f"policy.{field}"
    )


def test_the_backup_is_not_removed_by_hand() -> None:
    policy = FailoverPolicy(backup_deployment_id="d2")
    given = endpoint().happens(FailoverPolicySet(policy=policy, reason="because"))

    given.when(
        lambda state: remove_deployment(state, RemoveDeployment(deployment_id="d2", reason="tidy"), by_rollout=None)
    ).then_refused(DeploymentIsBackupError, "d2")


def test_a_rollout_that_ends_leaves_the_backup_where_it_is() -> None:
    policy = FailoverPolicy(backup_deployment_id="d2")
    given = endpoint().happens(FailoverPolicySet(policy=policy, reason="because"))
    removal = RemoveDeployment(deployment_id="d2", reason="the rollout is over")

    given.when(lambda state: remove_deployment(state, removal, by_rollout="rollout-1")).then_nothing()


def test_a_failover_is_recorded_once_for_each_that_takes_over() -> None:
    to_region, to_version = started(), started(to_deployment_id="d2", to_region="eu")
    given = endpoint()

    given.when(lambda state: decisions.report_start(state, reported(to_region))).then(to_region)
    given.happens(to_region).when(lambda state: decisions.report_start(state, reported(to_region))).then_nothing()
    given.when(lambda state: decisions.report_start(state, reported(to_version))).then(to_version)
    assert given.happens(to_version).state.failover.current == (to_version,)


def test_failovers_of_regions_and_deployments_go_on_side_by_side() -> None:
    eu, us = started(), started(region="us", from_region="us", to_region="eu")
    ended = FailoverEnded(region="eu", deployment_id="d1", reason="it answers", observed_at=AT)
    given = endpoint().happens(eu, us)
    command = ReportFailoverEnd(region="eu", deployment_id="d1", reason="it answers", observed_at=AT)

    given.when(lambda state: decisions.report_end(state, command)).then(ended)
    assert given.happens(ended).state.failover.current == (us,)
    given.when(lambda state: decisions.report_end(state, command)).then_nothing()


def test_what_takes_over_has_to_be_there() -> None:
    endpoint().when(lambda state: decisions.report_start(state, reported(started(to_deployment_id="d9")))).then_refused(
        DeploymentNotFoundError, "d9"
    )


def test_a_removed_deployment_leaves_neither_placement_nor_failover() -> None:
    given = endpoint().happens(
        DeploymentPlaced(deployment_id="d2", regions=("eu",), reason="x"),
        started(deployment_id="d2"),
        DeploymentRemoved(deployment_id="d2", reason="x"),
    )

    assert (given.state.deployments.placements, given.state.failover.current) == ((), ())
