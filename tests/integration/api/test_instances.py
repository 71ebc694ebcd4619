"""What agents tell of their instances, on the log and in the endpoint."""

import httpx
import pytest

from tests.support.api import RunningApi, Stage, done

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


@pytest.mark.parametrize("code", ["", "x" * 201, 7])
async def test_a_code_that_is_none_is_refused(api: RunningApi, stage: Stage, code: object) -> None:
    answer = await api.service.post(
        f"/v1/instances/{stage.instance_id}/withdraw", json={"reason": "unwell", "code": code}
    )

    assert (answer.status_code, answer.json()["field"]) == (httpx.codes.BAD_REQUEST, "code")
