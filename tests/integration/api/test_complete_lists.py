"""What the SDK lists is everything, however many pages the API makes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rollbook import AsyncRollbook, Rollbook, RollbookError
from tests.support.api import RunningApi, Stage, done
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.asyncio(loop_scope="module")

MORE_THAN_A_PAGE = 103


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(api: RunningApi) -> AsyncIterator[AsyncRollbook]:
    token = (api.data_dir / "secrets" / "admin.token").read_text()
    async with AsyncRollbook(api.url, token=token) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def many(api: RunningApi, stage: Stage) -> Stage:
    """Make more than a page of each kind of thing."""
    version = (await api.admin.get("/v1/models/digits/versions/1")).json()
    again = {"artifact": {"digest": stage.digest, "format": "skops"}, "signature": version["signature"]}
    for number in range(MORE_THAN_A_PAGE):
        await done(api.admin.post("/v1/models", json={"name": f"model-{number:03}"}))
        await done(api.admin.post("/v1/endpoints", json={"name": f"endpoint-{number:03}"}))
        await done(api.admin.post("/v1/models/digits/versions", json=again))
        rollout = await done(api.admin.post("/v1/rollouts", json={"endpoint": "digits", "version": "digits/2"}))
        await done(api.admin.post(f"/v1/rollouts/{rollout['id']}/abort", json={"reason": "one more for the list"}))
    return stage


async def test_every_list_is_complete(client: AsyncRollbook, many: Stage) -> None:
    models = await client.models.list(query="model-")
    endpoints = await client.endpoints.list()
    versions = await client.versions.list("digits")
    rollouts = await client.rollouts.list(endpoint="digits")

    assert [one.name for one in models] == [f"model-{number:03}" for number in range(MORE_THAN_A_PAGE)]
    assert [one.name for one in endpoints] == [
        "digits",
        *(f"endpoint-{number:03}" for number in range(MORE_THAN_A_PAGE)),
    ]
    assert [one.number for one in versions] == list(range(1, MORE_THAN_A_PAGE + 3))
    assert len({one.id for one in rollouts}) == MORE_THAN_A_PAGE


async def test_events_are_read_until_the_end_of_the_log(client: AsyncRollbook, many: Stage) -> None:
    registered = await client.events(event_type="registry.ModelRegistered.v1")
    everything = await client.events()
    some = await client.events(after=10, limit=7)

    assert len(registered) == MORE_THAN_A_PAGE + 1
    assert [one.position for one in everything] == sorted({one.position for one in everything})
    assert everything[-1].position == (await client.health.ready()).position
    assert [one.position for one in some] == list(range(11, 18))


async def test_a_limit_is_kept(client: AsyncRollbook, many: Stage) -> None:
    lists: list[list[Any]] = [
        await client.models.list(limit=101),
        await client.endpoints.list(limit=2),
        await client.versions.list("digits", limit=1),
        await client.rollouts.list(limit=MORE_THAN_A_PAGE),
    ]

    assert [len(found) for found in lists] == [101, 2, 1, MORE_THAN_A_PAGE]
    with pytest.raises(RollbookError, match="limit is 0; give 1 or more"):
        await client.models.list(limit=0)


async def test_both_clients_list_the_same(api: RunningApi, client: AsyncRollbook, many: Stage) -> None:
    with Rollbook(api.url, token=(api.data_dir / "secrets" / "admin.token").read_text()) as synchronous:
        assert await asyncio.to_thread(synchronous.models.list) == await client.models.list()


@pytest.mark.parametrize(
    ("command", "count"),
    [
        (("model", "list", "model-"), MORE_THAN_A_PAGE),
        (("version", "list", "digits"), MORE_THAN_A_PAGE + 2),
        (("endpoint", "list"), MORE_THAN_A_PAGE + 1),
        (("rollout", "list"), MORE_THAN_A_PAGE),
        (("rollout", "list", "--limit", "5"), 5),
        (("model", "list", "--limit", "101"), 101),
    ],
)
async def test_a_command_lists_everything(
    api: RunningApi, many: Stage, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], count: int
) -> None:
    cli = CommandLine(capsys, "--url", api.url, "--data-dir", str(api.data_dir))

    answer: Any = await asyncio.to_thread(cli.answer, *command)

    assert len(answer) == count
