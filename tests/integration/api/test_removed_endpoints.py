"""An endpoint that was removed is gone for everyone, and its name is free."""

import pytest

from tests.support.api import RunningApi, Stage, done
from tests.support.gateway import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILED = "instance-01a23135-28c3-731f-951c-2289fde7c3cb"


async def test_a_removed_endpoint_is_found_neither_by_name_nor_by_id(api: RunningApi, stage: Stage) -> None:
    made = await done(api.admin.post("/v1/endpoints", json={"name": "short-lived", "version": "digits/1"}))

    removed = await done(api.admin.post("/v1/endpoints/Short-Lived/remove", json={"reason": "unused"}))
    answers = [
        await api.admin.get("/v1/endpoints/short-lived"),
        await api.admin.get(f"/v1/endpoints/{made['id']}"),
        await api.admin.post(f"/v1/endpoints/{made['id']}/remove", json={"reason": "again"}),
        await api.admin.post(f"/v1/endpoints/{made['id']}/deployments", json={"version": "digits/1"}),
        await api.admin.post("/v1/rollouts", json={"endpoint": made["id"], "version": "digits/2"}),
    ]
    again = await done(api.admin.post("/v1/endpoints", json={"name": "short-lived"}))

    assert (removed["id"], removed["name"]) == (made["id"], "short-lived")
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "endpoint-not-found")}
    assert again["id"] != made["id"]
    assert made["id"] not in await api.documents("endpoint")


async def test_an_endpoint_of_a_running_rollout_stays(api: RunningApi, stage: Stage) -> None:
    plan = {"endpoint": "digits", "version": "digits/2"}
    rollout = await done(api.admin.post("/v1/rollouts", json=plan))

    refused = await api.admin.post("/v1/endpoints/digits/remove", json={"reason": "unused"})

    assert (refused.status_code, refused.json()["code"]) == (422, "endpoint-owned-by-rollout")
    assert rollout["id"] in refused.json()["detail"]


async def test_failed_instances_go_with_their_endpoint(api: RunningApi, stage: Stage) -> None:
    made = await done(api.admin.post("/v1/endpoints", json={"name": "failing", "version": "digits/1"}))
    (deployment,) = made["deployments"]
    failure = {"endpoint_id": made["id"], "deployment_id": deployment["id"], "agent_id": "a", "code": "c"}
    await done(api.service.post(f"/v1/instances/{FAILED}/fail", json={**failure, "reason": "no memory"}))
    assert (await api.documents("instance"))[FAILED]["phase"] == "failed"

    await done(api.admin.post("/v1/endpoints/failing/remove", json={"reason": "unused"}))

    async def is_withdrawn() -> bool:
        return FAILED not in await api.documents("instance")

    await until(is_withdrawn, why="the failed instance to be withdrawn")
