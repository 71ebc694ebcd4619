"""Workspaces are created, used and closed from the home workspace."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.identifiers import WORKSPACE_HEADER
from tests.support.api import RunningApi, done

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def created(api: RunningApi, name: str) -> dict[str, str]:
    """Create a workspace, and return the header of whoever acts in it."""
    await done(api.admin.post("/v1/workspaces", json={"name": name, "description": f"of {name}"}))
    return {WORKSPACE_HEADER: name}


async def admin_token(api: RunningApi, inside: dict[str, str]) -> str:
    body = {"kind": "person", "name": "Ada", "role": "admin"}
    return str((await done(api.admin.post("/v1/principals", json=body, headers=inside)))["token"])


async def workspaces(api: RunningApi) -> dict[str, Any]:
    return {each["name"]: each for each in (await done(api.admin.get("/v1/workspaces")))["items"]}


async def test_a_new_workspace_is_listed_and_its_admin_acts_in_it_alone(api: RunningApi) -> None:
    inside = await created(api, "first")

    async with api.client(await admin_token(api, inside)) as ada:
        await done(ada.post("/v1/models", json={"name": "digits-of-first"}))
        seen = await done(ada.get("/v1/models"))
        refused = [await ada.get("/v1/workspaces"), await ada.post("/v1/workspaces", json={"name": "second"})]

    at_home = await done(api.admin.get("/v1/models"))
    listed = await workspaces(api)
    assert (listed["default"]["is_home"], listed["first"]["is_home"]) == (True, False)
    assert listed["first"]["description"] == "of first"
    assert [model["name"] for model in seen["items"]] == ["digits-of-first"]
    assert "digits-of-first" not in [model["name"] for model in at_home["items"]]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "home-workspace-only")] * 2


async def test_a_name_is_taken_for_good(api: RunningApi) -> None:
    await created(api, "once")
    await done(api.admin.post("/v1/workspaces/once/close", json={"reason": "over"}))

    for name in ("once", "default"):
        again = await api.admin.post("/v1/workspaces", json={"name": name})
        assert (again.status_code, again.json()["code"], again.json()["field"]) == (409, "workspace-exists", "name")
    bad = await api.admin.post("/v1/workspaces", json={"name": "Not A Label"})
    assert (bad.status_code, bad.json()["field"]) == (400, "name")


async def test_nobody_acts_in_a_closed_workspace_and_admins_of_home_still_read_it(api: RunningApi) -> None:
    inside = await created(api, "closing")
    async with api.client(await admin_token(api, inside)) as ada:
        await done(ada.post("/v1/models", json={"name": "kept"}))

        closed = await done(api.admin.post("/v1/workspaces/closing/close", json={"reason": "the contract ended"}))
        again = await done(api.admin.post("/v1/workspaces/closing/close", json={"reason": "twice"}))

        refused = [
            await ada.get("/v1/models"),
            await ada.post("/v1/models", json={"name": "late"}),
            await api.admin.post("/v1/models", json={"name": "late"}, headers=inside),
            await api.admin.post("/v1/inference-tokens", json={"endpoints": ["*"]}, headers=inside),
        ]
    events = (await done(api.admin.get("/v1/events", headers=inside)))["items"]
    assert closed["closed_at"] == again["closed_at"] == (await workspaces(api))["closing"]["closed_at"]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "workspace-closed")] * 4
    types = [each["event"]["type"] for each in events]
    assert (types[0], types[-1]) == ("workspaces.WorkspaceCreated.v1", "workspaces.WorkspaceClosed.v1")
    assert [model["name"] for model in (await done(api.admin.get("/v1/models", headers=inside)))["items"]] == ["kept"]


async def test_a_request_that_was_let_in_before_the_close_changes_nothing_after_it(api: RunningApi) -> None:
    inside = await created(api, "racing")
    begun, closed = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"name": '
        begun.set()
        await closed.wait()
        yield b'"late"}'

    async with api.client(await admin_token(api, inside)) as ada:
        posting = asyncio.create_task(ada.post("/v1/models", content=body()))
        await begun.wait()
        # The API takes requests in turn, so that it has let the first one in by then.
        await done(api.admin.get("/v1/models"))
        await done(api.admin.post("/v1/workspaces/racing/close", json={"reason": "x"}))
        closed.set()
        answer = await posting

    assert (answer.status_code, answer.json()["code"]) == (403, "workspace-closed")
    assert (await done(api.admin.get("/v1/models", headers=inside)))["items"] == []


async def test_people_are_erased_and_tokens_revoked_in_a_closed_workspace_too(api: RunningApi) -> None:
    inside = await created(api, "clearing")
    people = [{"kind": "person", "name": "A", "role": "admin"}, {"kind": "person", "name": "B", "role": "viewer"}]
    ada, bob = [await done(api.admin.post("/v1/principals", json=each, headers=inside)) for each in people]
    await done(api.admin.post("/v1/workspaces/clearing/close", json={"reason": "x"}))

    asked = {"reason": "asked for"}
    await done(api.admin.post(f"/v1/principals/{bob['id']}/erase", json=asked, headers=inside))
    body = {**asked, "principal_id": ada["id"]}
    revoked = await done(api.admin.post("/v1/inference-tokens/revoke", json=body, headers=inside))

    shown = (await done(api.admin.get("/v1/principals", headers=inside)))["items"]
    assert {each["id"]: each["name"] for each in shown} == {ada["id"]: "A", bob["id"]: None}
    assert revoked["revocations"] == 1


async def test_a_workspace_with_endpoints_stays_open(api: RunningApi) -> None:
    inside = await created(api, "busy")
    await done(api.admin.post("/v1/endpoints", json={"name": "numbers"}, headers=inside))

    refused = await api.admin.post("/v1/workspaces/busy/close", json={"reason": "x"})
    await done(api.admin.post("/v1/endpoints/numbers/remove", json={"reason": "x"}, headers=inside))
    closed = await done(api.admin.post("/v1/workspaces/busy/close", json={"reason": "x"}))

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "workspace-in-use")
    assert "numbers" in problem["detail"]
    assert closed["closed_at"]


async def test_only_what_is_there_and_not_home_is_closed(api: RunningApi) -> None:
    answers = [
        await api.admin.post("/v1/workspaces/default/close", json={"reason": "x"}),
        await api.admin.post("/v1/workspaces/nowhere/close", json={"reason": "x"}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (422, "home-workspace"),
        (404, "workspace-not-found"),
    ]


async def test_each_workspace_signs_with_a_key_of_its_own(api: RunningApi) -> None:
    inside = await created(api, "signing")
    await done(api.admin.post("/v1/models", json={"name": "m"}, headers=inside))

    own = await done(api.admin.post("/v1/inference-tokens", json={"endpoints": ["*"]}, headers=inside))
    rotation = {"reason": "leaked", "overlap_s": 0}
    rotated = await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation, headers=inside))
    after = await done(api.admin.post("/v1/inference-tokens", json={"endpoints": ["*"]}, headers=inside))
    path, asked = "/v1/inference-tokens/keys", {"workspace": "signing"}
    public = await done(api.admin.get(path, params=asked))
    at_home = await done(api.nobody.get(path, params=asked))
    nowhere = await done(api.admin.get(path, params={"workspace": "nowhere"}))
    async with api.client(await admin_token(api, inside)) as ada:
        to_ada = await done(ada.get(path, params={"workspace": "default"}))

    kids = [part_of(each["token"], 0)["kid"] for each in (own, after)]
    assert all(kid.startswith("signing.") for kid in kids)
    assert kids[0] != kids[1] == rotated["keys"][0]["key_id"]
    assert part_of(own["token"], 1)["workspace"] == "signing"
    assert [key["kid"] for key in public["keys"]] == [key["kid"] for key in to_ada["keys"]] == [kids[1]]
    assert not {key["kid"] for key in at_home["keys"]} & set(kids)
    assert nowhere["keys"] == []
    folder = api.data_dir / "secrets" / "workspaces" / "signing"
    assert {path.name for path in folder.iterdir()} == {f"inference-signing-{kid}.pem" for kid in kids}


async def test_only_the_home_workspace_reads_the_log_of_all(api: RunningApi) -> None:
    inside = await created(api, "reading")
    everything: dict[str, str | int] = {"all_workspaces": "true", "limit": 1_000}

    async with api.client(await admin_token(api, inside)) as ada:
        refused = await ada.get("/v1/events", params=everything)
    in_it = await api.admin.get("/v1/events", params=everything, headers=inside)
    read = await done(api.admin.get("/v1/events", params=everything))
    own = await done(api.admin.get("/v1/events", params={"limit": 1_000}))

    assert {(answer.status_code, answer.json()["code"]) for answer in (refused, in_it)} == {
        (403, "home-workspace-only")
    }
    assert {each["event"]["workspace"] for each in read["items"]} >= {"default", "reading"}
    assert {each["event"]["workspace"] for each in own["items"]} == {"default"}


def part_of(token: str, number: int) -> dict[str, Any]:
    """Read a part of a JSON Web Token: 0 is its header, 1 its claims."""
    part = token.split(".")[number]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content
