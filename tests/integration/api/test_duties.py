"""A program of ours may only do what belongs to its duty."""

from pathlib import Path
from typing import get_args

import httpx
import pytest

from control_plane.describe import document
from schemas.events.access import Duty
from tests.support.api import RunningApi, done, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
    if operation.get("x-rollbook-roles")
]
DUTIES: tuple[str, ...] = get_args(Duty)
REFUSALS = {"duty-differs", "role-too-weak"}


async def code_of(client: httpx.AsyncClient, method: str, path: str) -> str:
    answer = await client.request(
        method, path.replace("{number}", "1").replace("{", "").replace("}", ""), json={}, params={"wait_ms": 0}
    )
    return "" if answer.is_success or method == "HEAD" else str(answer.json()["code"])


@pytest.mark.parametrize("duty", DUTIES)
async def test_a_program_of_the_stack_does_what_it_must_and_nothing_else(api: RunningApi, duty: str) -> None:
    token = (api.data_dir / "secrets" / f"{duty}.token").read_text(encoding="utf-8")
    async with api.client(token) as client:
        codes = {
            (method, path): await code_of(client, method, path) for method, path, _ in OPERATIONS if method != "HEAD"
        }

    own = {(method, path) for method, path, each in OPERATIONS if duty in each.get("x-rollbook-duties", ())}
    assert {asked for asked, code in codes.items() if code not in REFUSALS} == own
    assert own


async def test_what_only_our_programs_call_belongs_to_one_duty_each() -> None:
    of_programs = [each for each in OPERATIONS if each[2]["x-rollbook-roles"] == ["admin", "service"]]

    assert len(of_programs) >= 15
    assert [each[:2] for each in of_programs if len(each[2].get("x-rollbook-duties", ())) != 1] == []


async def test_a_program_reads_no_endpoint_model_or_event_that_it_does_not_need(api: RunningApi) -> None:
    async with api.client((api.data_dir / "secrets" / "agent.token").read_text(encoding="utf-8")) as agent:
        for path in ("/v1/models", "/v1/endpoints", "/v1/events", "/v1/rollouts"):
            answer = await agent.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "duty-differs"), path


async def test_an_agent_of_another_host_gets_a_principal_of_its_own(api: RunningApi) -> None:
    body = {"kind": "service", "name": "host-2", "role": "service", "duty": "agent"}
    token = (await done(api.admin.post("/v1/principals", json=body)))["token"]

    async with api.client(token) as agent:
        assert await code_of(agent, "POST", "/v1/instances") == "invalid-body"
        assert await code_of(agent, "POST", "/v1/rollouts/measurements") == "duty-differs"
    shown = (await done(api.admin.get("/v1/principals")))["items"]
    assert [each["duty"] for each in shown if each["name"] == "host-2"] == ["agent"]
    assert [each["duty"] for each in shown if each["name"] == "admin"] == [None]


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_only_a_service_has_a_duty(api: RunningApi, role: str) -> None:
    body = {"kind": "person", "name": "someone", "role": role, "duty": "agent"}

    refused = await api.admin.post("/v1/principals", json=body)

    assert (refused.status_code, refused.json()["field"]) == (400, "duty")


async def test_the_keys_tell_the_gateway_alone_which_tokens_were_revoked(api: RunningApi) -> None:
    told = {}
    for duty in DUTIES:
        async with api.client((api.data_dir / "secrets" / f"{duty}.token").read_text(encoding="utf-8")) as client:
            told[duty] = not (await done(client.get("/v1/inference-tokens/keys"))).get("is_public", False)

    assert told == {duty: duty == "gateway" for duty in DUTIES}


async def test_a_data_directory_of_an_earlier_release_gets_the_principals_that_it_lacks(tmp_path: Path) -> None:
    async with running_api(tmp_path):
        pass
    for duty in DUTIES:
        (tmp_path / "secrets" / f"{duty}.token").unlink()

    async with running_api(tmp_path) as api:
        assert (await api.service.get("/v1/models")).status_code == httpx.codes.OK
        async with api.client((tmp_path / "secrets" / "judge.token").read_text(encoding="utf-8")) as judge:
            assert await code_of(judge, "GET", "/v1/models") == "duty-differs"
