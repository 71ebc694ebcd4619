"""Scaling policies, measurements and what is said of them, over HTTP."""

from typing import Any

import httpx
import msgspec
import pytest

from schemas.scaling import Load, LoadMeasurement
from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")
POLICY = {"min_replicas": 0, "max_replicas": 3, "in_flight": 2.0, "cool_down_ms": 0}


async def set_policy(api: RunningApi, stage: Stage, policy: dict[str, Any] | None) -> dict[str, Any]:
    path = f"/v1/endpoints/{stage.endpoint_id}/scaling-policy"
    return dict(await done(api.admin.put(path, json={"policy": policy, "reason": "test"})))


async def explained(api: RunningApi, stage: Stage) -> dict[str, Any]:
    return dict(await done(api.admin.get(f"/v1/endpoints/{stage.endpoint_id}/scaling")))


async def tell(api: RunningApi, stage: Stage, in_flight: float, *, version: int) -> dict[str, Any]:
    load = Load(in_flight=in_flight)
    measurement = LoadMeasurement(
        scaling_version=version,
        measured_at_ms=1,
        ready=1,
        now=load,
        highest=load,
        watched_ms=600_000,
        idle_ms=0,
        is_complete=True,
    )
    path = f"/v1/endpoints/{stage.endpoint_id}/deployments/{stage.deployment_id}/load"
    body = {"measurement": msgspec.to_builtins(measurement)}
    return dict(await done(api.service.post(path, json=body)))


async def test_a_policy_is_an_event_and_a_measurement_changes_the_replicas(api: RunningApi, stage: Stage) -> None:
    await set_policy(api, stage, None)
    head = await api.head()
    await set_policy(api, stage, POLICY)
    before = await explained(api, stage)
    version = before["deployments"][0]["scaling_version"]

    answer = await tell(api, stage, 5.0, version=version)

    feed = await done(api.admin.get("/v1/events", params={"after": head}))
    changed = feed["items"][-1]["event"]
    assert [item["event"]["type"] for item in feed["items"]] == [
        "endpoints.ScalingPolicySet.v1",
        "endpoints.ReplicasChanged.v1",
    ]
    assert (answer["is_changed"], answer["replicas"]) == (True, 3)
    assert changed["data"]["reason"] == answer["reason"]
    why = (await explained(api, stage))["deployments"][0]
    assert (why["replicas"], why["ready"], why["measured"]["measurement"]["now"]["in_flight"]) == (3, 1, 5.0)


async def test_a_measurement_of_an_earlier_state_changes_nothing(api: RunningApi, stage: Stage) -> None:
    await set_policy(api, stage, POLICY)
    version = (await explained(api, stage))["deployments"][0]["scaling_version"]
    await set_policy(api, stage, POLICY | {"max_replicas": 2})
    head = await api.head()

    answer = await tell(api, stage, 5.0, version=version)

    assert not answer["is_changed"]
    assert await api.head() == head


async def test_without_a_policy_replicas_are_what_the_deployment_was_added_with(api: RunningApi, stage: Stage) -> None:
    await set_policy(api, stage, None)

    shown = await explained(api, stage)

    assert shown.get("policy") is None
    assert shown["deployments"][0]["reason"] == "the endpoint has no scaling policy"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"min_replicas": 1, "max_replicas": 3}, "policy"),
        ({"min_replicas": 4, "max_replicas": 3, "in_flight": 1}, "min_replicas"),
        ({"in_flight": 0}, "in_flight"),
        ({"in_flight": "many"}, "in_flight"),
        ({"in_flght": 1}, "in_flght"),
        ({"in_flight": 1, "tolerance": 2}, "tolerance"),
        ({"in_flight": 1, "max_replicas": 100_000}, "max_replicas"),
    ],
)
async def test_a_policy_that_cannot_be_is_refused_with_its_field(
    api: RunningApi, stage: Stage, policy: dict[str, Any], field: str
) -> None:
    head = await api.head()

    answer = await api.admin.put(
        f"/v1/endpoints/{stage.endpoint_id}/scaling-policy", json={"policy": policy, "reason": "test"}
    )

    assert httpx.codes.is_client_error(answer.status_code)
    assert field in answer.json()["field"], answer.text
    assert answer.json()["detail"]
    assert await api.head() == head
