"""OpenAI's API at a real Envoy while endpoints, their models and their aliases come and go."""

import httpx

from schemas.events.registry import ModelRegistered, VersionAliasRemoved, VersionAliasSet
from tests.integration.gateway.test_openai_surface import CHAT, serve
from tests.support.gateway import Gateway, until
from tests.support.routing import created

MODEL = ModelRegistered(name="digits", description="", tags={})


async def test_the_models_of_the_tokens_workspace_are_listed(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    gateway.tell("endpoint-2", created(name="story-100"))
    gateway.tell("endpoint-3", created(name="secret"), workspace="other")

    async def lists_all() -> bool:
        return "story-100" in (await client.get("/v1/models")).text

    await until(lists_all, why="the list with the second endpoint")
    listed = await client.get("/v1/models")
    shown = await client.get("/v1/models/digits")
    missing = await client.get("/v1/models/nothing")
    scoped = await client.get(
        "/v1/models", headers={"authorization": f"Bearer {gateway.tokens.mint(endpoints=('digits',))}"}
    )

    assert listed.status_code == 200, listed.text
    assert listed.headers["content-type"] == "application/json"
    assert [model["id"] for model in listed.json()["data"]] == ["digits", "story-100"]
    assert listed.json()["data"][0] == shown.json()
    assert shown.json()["object"] == "model"
    assert shown.json()["created"] > 1_700_000_000
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"
    assert scoped.status_code == 403


async def test_an_endpoint_without_traffic_says_so(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    gateway.tell("endpoint-2", created(name="idle"))

    async def is_known() -> bool:
        return (await client.post(CHAT, json={"model": "idle"})).status_code != 404

    await until(is_known, why="the route of the idle endpoint")
    answer = await client.post(CHAT, json={"model": "idle"})

    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "message": "the endpoint has no ready deployment",
        "type": "server_error",
        "param": None,
        "code": "endpoint_not_ready",
    }


async def test_an_alias_is_followed_from_version_to_version_without_a_restart(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
    gateway.tell("model-1", MODEL)
    asked = {"model": "digits:champion"}

    async def answers(status: int, deployment: str | None) -> bool:
        answer = await client.post(CHAT, json=asked)
        return (answer.status_code, answer.headers.get("x-rollbook-deployment")) == (status, deployment)

    for number, deployment in ((2, "d2"), (1, "d1")):
        gateway.tell(
            "model-1", VersionAliasSet(alias="champion", version_id=f"version-{number}", number=number, reason="test")
        )
        await until(lambda named=deployment: answers(200, named), why=f"the alias names {deployment}")
    pinned = await client.post(CHAT, json=asked)
    gateway.tell("model-1", VersionAliasRemoved(alias="champion", reason="test"))
    await until(lambda: answers(404, None), why="the alias is gone")

    assert "x-rollbook-epoch" not in pinned.headers
    # The engine is told which name the gateway has read.
    assert pinned.json()["headers"]["x-rollbook-model"] == "digits:champion"


async def test_a_wrong_alias_is_told_which_there_are(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    gateway.tell("model-1", MODEL)
    gateway.tell("model-1", VersionAliasSet(alias="champion", version_id="version-2", number=2, reason="test"))

    async def is_told() -> bool:
        return "digits:champion" in (await client.post(CHAT, json={"model": "digits:chalenger"})).text

    await until(is_told, why="the aliases in the answer")
    answer = await client.post(CHAT, json={"model": "digits:chalenger"})

    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "no version of this name is deployed; endpoint digits has digits@1, digits@2, digits:champion",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
