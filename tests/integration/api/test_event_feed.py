"""The log as callers read it: in order, filtered, and waiting for what comes next."""

import asyncio
from typing import Any

import pytest

from tests.support.api import RunningApi, Stage, done, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_WAIT_MS = 30_000
BEFORE_ITS_TIME_IS_OVER_S = 20.0


async def test_the_log_is_read_in_order_and_page_by_page(api: RunningApi, stage: Stage) -> None:
    whole = await done(api.admin.get("/v1/events?limit=1000"))
    positions = [item["position"] for item in whole["items"]]
    paged, after = [], 0

    while after < whole["head"]:
        page = await done(api.admin.get("/v1/events", params={"after": after, "limit": 3}))
        paged += page["items"]
        after = page["read_until"]

    assert positions == sorted(set(positions))
    assert paged == whole["items"]


async def test_one_stream_is_read_in_its_versions(api: RunningApi, stage: Stage) -> None:
    feed = await done(api.admin.get("/v1/events", params={"stream": stage.endpoint_id}))

    events = [item["event"] for item in feed["items"]]
    assert [event["streamversion"] for event in events] == [1, 2, 3]
    assert {event["stream"] for event in events} == {stage.endpoint_id}


async def test_one_type_is_read_from_a_position(api: RunningApi, stage: Stage) -> None:
    asked = {"type": "registry.ModelVersionRegistered.v1"}
    first, second = (await done(api.admin.get("/v1/events", params=asked)))["items"]

    later = await done(api.admin.get("/v1/events", params={**asked, "after": first["position"]}))

    assert later["items"] == [second]
    assert later["read_until"] == later["head"]


async def reading(api: RunningApi, **asked: str | int) -> "asyncio.Task[dict[str, Any]]":
    """Ask for what comes after the log's head, and say when the request is in progress."""
    asked = {"after": await api.head(), "wait_ms": MAX_WAIT_MS, **asked}
    waiting = asyncio.create_task(done(api.admin.get("/v1/events", params=asked)))
    # The API reads the log for one after the other: when it has answered these, that one waits.
    for _ in range(5):
        await api.head()
    return waiting


async def test_a_reader_that_waits_gets_the_next_event_at_once(api: RunningApi) -> None:
    waiting = await reading(api)
    assert not waiting.done()

    await done(api.admin.post("/v1/models", json={"name": "awaited"}))

    async with asyncio.timeout(BEFORE_ITS_TIME_IS_OVER_S):
        feed = await waiting
    assert [item["event"]["data"]["name"] for item in feed["items"]] == ["awaited"]


async def test_a_reader_of_another_type_goes_on_waiting(api: RunningApi) -> None:
    asked: dict[str, str | int] = {"wait_ms": 300, "type": "rollouts.RolloutStarted.v1", "after": await api.head()}
    waiting = asyncio.create_task(done(api.admin.get("/v1/events", params=asked)))
    await done(api.admin.post("/v1/models", json={"name": "of-another-type"}))

    feed = await waiting

    assert feed["items"] == []
    assert feed["read_until"] == await api.head()


async def test_no_event_within_the_time_is_an_empty_page(api: RunningApi) -> None:
    head = await api.head()

    feed = await done(api.admin.get("/v1/events", params={"after": head, "wait_ms": 200}))

    assert (feed["items"], feed["head"], feed["read_until"]) == ([], head, head)


async def test_an_api_that_ends_lets_its_readers_go(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running_api(tmp_path_factory.mktemp("ending")) as api:
        waiting = await reading(api)
        assert not waiting.done()

        api.drain()

        async with asyncio.timeout(BEFORE_ITS_TIME_IS_OVER_S):
            feed = await waiting

    assert feed["items"] == []


async def test_the_documents_hold_what_gateways_and_agents_need(api: RunningApi, stage: Stage) -> None:
    endpoint = (await api.documents("endpoint"))[stage.endpoint_id]
    deployment = endpoint["deployments"][0]

    assert (endpoint["name"], endpoint["epoch"]) == ("digits", 3)
    assert endpoint["allocations"][0]["ranges"] == [[0, 10_000]]
    assert (deployment["id"], deployment["artifact"]["digest"]) == (stage.deployment_id, stage.digest)
    assert set(await api.documents("instance")) == {stage.instance_id}
