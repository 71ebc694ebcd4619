"""The first principals and the secrets of a fresh data directory, whatever moment a crash picks."""

import stat
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from infra.errors import CannotStartError
from schemas.events.access import Duty
from tests.support.api import ANY_PROGRAM, RunningApi, done, running_api

TOKENS = ("admin.token", *(f"{duty}.token" for duty in get_args(Duty)))
FILES = (*TOKENS, "inference-signing.pem", "checkpoint-signing.pem")


async def test_the_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with running_api(tmp_path):
        pass

    modes = {name: stat.S_IMODE((tmp_path / "secrets" / name).stat().st_mode) for name in FILES}
    assert set(modes.values()) == {0o600}


async def first_principals(api: RunningApi) -> list[dict[str, Any]]:
    """Return the principals of the first start, without the one that these tests add."""
    items = (await done(api.admin.get("/v1/principals")))["items"]
    return [each for each in items if each["name"] != ANY_PROGRAM["name"]]


async def test_another_start_changes_nothing(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        head = await api.head()
        kept = {name: (tmp_path / "secrets" / name).read_bytes() for name in FILES}
    async with running_api(tmp_path) as api:
        assert await api.head() == head
        assert {name: (tmp_path / "secrets" / name).read_bytes() for name in FILES} == kept


async def test_a_token_that_a_crash_left_unregistered_is_registered(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "admin.token").write_text("rb_written-before-the-crash-and-never-registered")

    async with running_api(tmp_path) as api:
        assert len(await first_principals(api)) == len(TOKENS)
        async with api.client("rb_written-before-the-crash-and-never-registered") as admin:
            assert (await admin.get("/v1/principals")).status_code == httpx.codes.OK


async def test_a_revoked_first_token_stays_revoked(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        found = next(each for each in await first_principals(api) if each["duty"] == "agent")
        path = f"/v1/principals/{found['id']}/tokens/{found['tokens'][0]['id']}/revoke"
        await done(api.admin.post(path, json={"reason": "leaked"}))
    async with running_api(tmp_path) as api:
        async with api.client((tmp_path / "secrets" / "agent.token").read_text()) as agent:
            assert (await agent.get("/v1/artifacts/x")).status_code == httpx.codes.UNAUTHORIZED
        assert len(await first_principals(api)) == len(TOKENS)


async def test_a_second_api_on_the_same_data_does_not_start(tmp_path: Path) -> None:
    async with running_api(tmp_path):
        with pytest.raises(CannotStartError):
            async with running_api(tmp_path):
                pass


async def test_without_kafka_and_clickhouse_commands_work_and_the_rest_says_so(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        ready = await done(api.nobody.get("/readyz"))
        prediction = "1700000000000-01a206c5-70a8-78b3-bcf5-1a42e5e0d68e"
        item = {"prediction_id": prediction, "name": "label", "value": 3}
        feedback = await api.service.post("/v1/feedback", json={"items": [item]})
        query = await api.admin.get(f"/v1/predictions/{prediction}")
        command = await api.admin.post("/v1/models", json={"name": "digits"})

    assert (ready["status"], ready["parts"]) == ("ready", {"clickhouse": "unavailable", "kafka": "unavailable"})
    assert (feedback.status_code, feedback.json()["code"]) == (503, "kafka-unavailable")
    assert (query.status_code, query.json()["code"]) == (503, "view-unavailable")
    assert all(answer.headers["retry-after"] for answer in (feedback, query))
    assert command.status_code == httpx.codes.CREATED


async def test_an_api_whose_disk_takes_nothing_is_not_ready(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        (tmp_path / "events").rename(tmp_path / "elsewhere")
        ready = await api.nobody.get("/readyz")
        alive = await api.nobody.get("/healthz")
        (tmp_path / "elsewhere").rename(tmp_path / "events")

    assert (ready.status_code, ready.json()["store"]) == (503, "unavailable")
    assert alive.status_code == httpx.codes.OK
