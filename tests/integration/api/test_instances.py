"""What agents tell of their instances, on the log and in the endpoint."""

import asyncio
import itertools
import sqlite3
from contextlib import closing

import httpx
import pytest

from schemas.instances import FailInstance
from tests.support.api import RunningApi, Stage, done
from tests.support.gateway import until
from workers.serving_agent.control_plane import ControlPlane

_NUMBERS = itertools.count(0x100)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_unhealthy_instance_leaves_with_its_code_and_comes_back(api: RunningApi, stage: Stage) -> None:
    head = await api.head()
    path = f"/v1/instances/{stage.instance_id}"
    unwell = {"reason": "no answer within 5 s; 3 probes in a row were at fault", "code": "instance-hung"}

    withdrawn = await done(api.service.post(f"{path}/withdraw", json=unwell))
    again = await done(api.service.post(f"{path}/withdraw", json=unwell))

    feed = await done(api.admin.get("/v1/events", params={"after": head}))
    assert [item["event"]["type"] for item in feed["items"]] == [
        "endpoints.InstanceFoundUnhealthy.v1",
        "endpoints.InstanceWithdrawn.v1",
    ]
    assert feed["items"][0]["event"]["data"]["code"] == "instance-hung"
    assert (withdrawn["phase"], withdrawn["code"], withdrawn["reason"]) == (
        "withdrawn",
        "instance-hung",
        unwell["reason"],
    )
    assert again["stream_version"] == withdrawn["stream_version"]
    endpoint = await done(api.admin.get(f"/v1/endpoints/{stage.endpoint_id}"))
    assert endpoint["deployments"][0]["instances"] == []

    body = {"instance_id": stage.instance_id, "endpoint_id": stage.endpoint_id, "deployment_id": stage.deployment_id}
    place = dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one") | {"port": 9_000}
    back = await done(api.service.post("/v1/instances", json=body | place))
    assert (back["phase"], back.get("code")) == ("announced", None)


async def test_a_thousand_restarts_leave_the_catalogue_as_large_as_it_was(api: RunningApi, stage: Stage) -> None:
    place = dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one") | {"port": 9_000}
    body = {"endpoint_id": stage.endpoint_id, "deployment_id": stage.deployment_id} | place
    before, head = kept_instances(api), await api.head()

    async def restart() -> None:
        instance = await done(api.service.post("/v1/instances", json=body))
        await done(api.service.post(f"/v1/instances/{instance['id']}/withdraw", json={"reason": "restarts"}))

    for _ in range(20):
        await asyncio.gather(*(restart() for _ in range(50)))

    assert await api.head() == head + 2_000
    assert kept_instances(api) == before
    endpoint = await done(api.admin.get(f"/v1/endpoints/{stage.endpoint_id}"))
    assert {each["id"] for each in endpoint["deployments"][0]["instances"]} <= {stage.instance_id}


async def test_an_instance_that_left_the_catalogue_is_still_known_and_comes_back(api: RunningApi, stage: Stage) -> None:
    place = dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one") | {"port": 9_000}
    body = {"endpoint_id": stage.endpoint_id, "deployment_id": stage.deployment_id} | place
    instance = await done(api.service.post("/v1/instances", json=body))
    path = f"/v1/instances/{instance['id']}/withdraw"
    await done(api.service.post(path, json={"reason": "restarts"}))
    assert instance["id"] not in kept_instances(api)

    again = await done(api.service.post(path, json={"reason": "restarts"}))
    back = await done(api.service.post("/v1/instances", json=body | {"instance_id": instance["id"]}))

    assert again["phase"] == "withdrawn"
    assert (back["phase"], back["stream_version"]) == ("announced", 3)
    assert instance["id"] in kept_instances(api)
    await done(api.service.post(path, json={"reason": "is over"}))


def kept_instances(api: RunningApi) -> set[str]:
    """Return the instances in the catalogue, in whatever phase."""
    with closing(sqlite3.connect(api.data_dir / "events" / "registry.sqlite")) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM catalogue WHERE kind = 'instance'")}


@pytest.mark.parametrize("code", ["", "x" * 201, 7])
async def test_a_code_that_is_none_is_refused(api: RunningApi, stage: Stage, code: object) -> None:
    answer = await api.service.post(
        f"/v1/instances/{stage.instance_id}/withdraw", json={"reason": "unwell", "code": code}
    )

    assert (answer.status_code, answer.json()["field"]) == (httpx.codes.BAD_REQUEST, "code")


async def test_an_agent_tells_a_long_reason_as_far_as_it_is_taken_everywhere(api: RunningApi, stage: Stage) -> None:
    endpoint = await done(api.admin.post("/v1/endpoints", json={"name": "fails-at-length", "version": "digits/1"}))
    (deployment,) = endpoint["deployments"]
    reason = "the golden answer should begin with " + "x" * 5_000
    failure = FailInstance(
        endpoint_id=endpoint["id"],
        deployment_id=deployment["id"],
        agent_id="one",
        code="golden-answer-wrong",
        reason=reason,
    )
    agent = ControlPlane(api.url, token_file=api.data_dir / "secrets" / "service.token")

    await agent.fail("instance-01900000-0000-7000-8000-00000000000a", failure)
    await agent.close()

    shown = await done(api.admin.get("/v1/endpoints/fails-at-length"))
    told = shown["deployments"][0]["failure"].removesuffix(" (golden-answer-wrong)")
    assert reason.startswith(told)
    # A rollout tells it with the code, within the same limit.
    assert 1_500 < len(f"golden-answer-wrong: {told}") <= 2_000


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
async def test_a_failed_instance_is_followed_until_its_deployment_is_removed(
    api: RunningApi, stage: Stage, *, is_late: bool
) -> None:
    name = f"fails-{is_late}".lower()
    endpoint = await done(api.admin.post("/v1/endpoints", json={"name": name}))
    deployments = [
        await done(api.admin.post(f"/v1/endpoints/{name}/deployments", json={"version": "digits/1"})) for _ in range(2)
    ]
    first, second = (each["id"] for each in deployments)
    kept = await _fail(api, endpoint["id"], second)
    if is_late:
        await done(api.admin.post(f"/v1/endpoints/{name}/deployments/{first}/remove", json={"reason": "enough"}))
        failed = await _fail(api, endpoint["id"], first)
    else:
        failed = await _fail(api, endpoint["id"], first)
        assert {kept, failed} <= (await api.documents("instance")).keys()
        await done(api.admin.post(f"/v1/endpoints/{name}/deployments/{first}/remove", json={"reason": "enough"}))

    async def is_gone() -> bool:
        return failed not in await api.documents("instance")

    await until(is_gone, why="the end of the document")
    assert kept in await api.documents("instance")


async def _fail(api: RunningApi, endpoint_id: str, deployment_id: str) -> str:
    instance_id = f"instance-01900000-0000-7000-8000-{next(_NUMBERS):012x}"
    failure = {
        "endpoint_id": endpoint_id,
        "deployment_id": deployment_id,
        "agent_id": "one",
        "code": "engine-lost",
        "reason": "it ended",
    }
    await done(api.service.post(f"/v1/instances/{instance_id}/fail", json=failure))
    return instance_id


async def test_traffic_does_not_go_back_to_a_version_that_no_instance_serves(api: RunningApi, stage: Stage) -> None:
    endpoint = await done(api.admin.post("/v1/endpoints", json={"name": "goes-back", "version": "digits/1"}))
    second = await done(api.admin.post("/v1/endpoints/goes-back/deployments", json={"version": "digits/2"}))
    (first,) = endpoint["deployments"]
    await _announce(api, endpoint["id"], second["id"])
    weights = [{"deployment_id": second["id"], "weight_percent": 100}]
    await done(api.admin.put("/v1/endpoints/goes-back/traffic", json={"weights": weights}))

    refused = await api.admin.post("/v1/endpoints/goes-back/rollback", json={"reason": "alarms"})
    await _announce(api, endpoint["id"], first["id"])
    back = await done(api.admin.post("/v1/endpoints/goes-back/rollback", json={"reason": "alarms"}))

    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["field"]) == (422, "deployment-not-ready", "epoch")
    assert first["id"] in problem["detail"]
    assert [each["deployment_id"] for each in back["allocations"]] == [first["id"]]


async def _announce(api: RunningApi, endpoint_id: str, deployment_id: str) -> None:
    place = dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), "one") | {"port": 9_000}
    body = {"endpoint_id": endpoint_id, "deployment_id": deployment_id} | place
    await done(api.service.post("/v1/instances", json=body))
