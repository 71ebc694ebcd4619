from control_plane.endpoints import errors
from control_plane.endpoints.instances import decisions
from control_plane.endpoints.resources import INSTANCES
from schemas.documents.endpoints import Instance
from schemas.events.endpoints import InstanceAnnounced, InstanceFailed, InstanceFoundUnhealthy, InstanceWithdrawn
from schemas.instances import AnnounceInstance, FailInstance, WithdrawInstance
from tests.support.spec import Given

ANNOUNCED = InstanceAnnounced(
    endpoint_id="endpoint-1",
    deployment_id="deployment-1",
    agent_id="agent-1",
    boot_id="boot-1",
    host="127.0.0.1",
    port=9_000,
    region="local",
    zone="a",
)
FAILURE = FailInstance(
    endpoint_id="endpoint-1", deployment_id="deployment-1", agent_id="agent-1", code="wrong-digest", reason="differs"
)
FAILED = InstanceFailed(
    endpoint_id="endpoint-1", deployment_id="deployment-1", agent_id="agent-1", code="wrong-digest", reason="differs"
)


def given(*events: InstanceAnnounced | InstanceFailed | InstanceFoundUnhealthy | InstanceWithdrawn) -> Given[Instance]:
    return Given(INSTANCES, *events, stream="instance-1")


def announcement(**changes: object) -> AnnounceInstance:
    fields = {name: getattr(ANNOUNCED, name) for name in ANNOUNCED.__struct_fields__}
    return AnnounceInstance(**{**fields, **changes})


def test_an_instance_is_announced_once_per_boot() -> None:
    given().when(lambda state: decisions.announce(state, announcement())).then(ANNOUNCED)
    given(ANNOUNCED).when(lambda state: decisions.announce(state, announcement())).then_nothing()
    assert given(ANNOUNCED).when(lambda state: decisions.announce(state, announcement(boot_id="boot-2"))).then_events()


def test_an_instance_id_does_not_move_to_another_deployment() -> None:
    given(ANNOUNCED).when(
        lambda state: decisions.announce(state, announcement(deployment_id="deployment-2"))
    ).then_refused(errors.InstanceChangedError, "deployment-1", field="deployment_id")


def test_a_withdrawn_instance_takes_traffic_again_after_an_announcement() -> None:
    withdrawn = InstanceWithdrawn(endpoint_id="endpoint-1", deployment_id="deployment-1", reason="drain")

    given(ANNOUNCED).when(lambda state: decisions.withdraw(state, WithdrawInstance(reason="drain"))).then(withdrawn)
    given(ANNOUNCED, withdrawn).when(
        lambda state: decisions.withdraw(state, WithdrawInstance(reason="drain"))
    ).then_nothing()
    given(ANNOUNCED, withdrawn).when(lambda state: decisions.announce(state, announcement())).then(ANNOUNCED)


def test_an_unhealthy_instance_is_withdrawn_with_the_code_of_what_it_lacks() -> None:
    hung = WithdrawInstance(reason="no answer within 5 s", code="instance-hung")
    found = InstanceFoundUnhealthy(
        endpoint_id="endpoint-1",
        deployment_id="deployment-1",
        agent_id=ANNOUNCED.agent_id,
        code="instance-hung",
        reason="no answer within 5 s",
    )
    withdrawn = InstanceWithdrawn(endpoint_id="endpoint-1", deployment_id="deployment-1", reason="no answer within 5 s")

    given(ANNOUNCED).when(lambda state: decisions.withdraw(state, hung)).then(found, withdrawn)
    after = given(ANNOUNCED, found, withdrawn)

    assert (after.state.phase, after.state.code) == ("withdrawn", "instance-hung")
    after.when(lambda state: decisions.withdraw(state, hung)).then_nothing()
    assert after.happens(ANNOUNCED).state.code is None


def test_a_failure_is_recorded_once_also_without_an_announcement() -> None:
    given().when(lambda state: decisions.fail(state, FAILURE)).then(FAILED)
    given(FAILED).when(lambda state: decisions.fail(state, FAILURE)).then_nothing()
    assert given(ANNOUNCED, FAILED).state.phase == "failed"
