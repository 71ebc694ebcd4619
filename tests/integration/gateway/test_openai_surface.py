"""OpenAI's API at a real Envoy: the model named in the body decides the route, and errors are in OpenAI's form."""

import json

import httpx
import pytest

from schemas.events.registry import VersionAliasRemoved, VersionAliasSet
from tests.support.gateway import MAX_BODY_BYTES, Gateway, refused_body, until
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-019a0000-0000-7000-8000-000000000001"
CHAT = "/v1/chat/completions"


async def serve(gateway: Gateway) -> int:
    """Serve digits/1 with all traffic; digits/2 is deployed beside it."""
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1", number=1)
    await gateway.add(ENDPOINT, "d2", number=2)
    epoch = gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await gateway.serves(ENDPOINT, epoch)
    return epoch


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses"])
async def test_the_model_in_the_body_names_the_endpoint(gateway: Gateway, client: httpx.AsyncClient, path: str) -> None:
    epoch = await serve(gateway)

    answer = await client.post(path, json={"messages": [{"content": "model"}], "model": "digits"})

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-rollbook-deployment"] == "d1"
    assert answer.headers["x-rollbook-version"] == "digits/1"
    assert answer.headers["x-rollbook-epoch"] == str(epoch)
    seen = answer.json()["headers"]
    assert seen["x-request-id"] == seen["x-prediction-id"] == answer.headers["x-prediction-id"]
    assert "x-rollbook-model" not in seen
    assert "authorization" not in seen


@pytest.mark.parametrize("model", ["digits@2", "digits@digits/2"])
async def test_a_version_may_be_named_and_counts_in_no_epoch(
    gateway: Gateway, client: httpx.AsyncClient, model: str
) -> None:
    await serve(gateway)

    await until(lambda: gateway.taken.get("d2", 0) >= 2, why="the cluster of the other version and its instance")
    answer = await client.post(CHAT, json={"model": model})

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-rollbook-deployment"] == "d2"
    assert answer.headers["x-rollbook-version"] == "digits/2"
    assert answer.json()["backend"] == "instance-d2-0"
    assert "x-rollbook-epoch" not in answer.headers


@pytest.mark.parametrize("model", ["digits@3", "digits:champion", "other", "", "a/b", "digits@2@1", "%", "x" * 5_000])
async def test_a_model_that_is_not_there_is_refused_as_openai_does(
    gateway: Gateway, client: httpx.AsyncClient, model: str
) -> None:
    await serve(gateway)

    answer = await client.post(CHAT, json={"model": model})

    assert answer.status_code == 404, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "model_not_found"
    assert error["param"] is None
    assert error["message"]
    assert answer.headers["x-prediction-id"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"digits"', b'{"model": 3}', b'{"model": ["digits"]}', b"{}"])
async def test_a_body_that_names_no_model_is_refused(
    gateway: Gateway, client: httpx.AsyncClient, content: bytes
) -> None:
    await serve(gateway)

    answer = await client.post(CHAT, content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_a_forged_model_header_chooses_nothing(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)

    answer = await client.post(CHAT, json={"model": "digits"}, headers={"x-rollbook-model": "digits@2"})

    assert answer.headers["x-rollbook-deployment"] == "d1"


async def test_a_header_names_the_endpoint_without_a_look_at_the_body(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)

    answer = await client.post(CHAT, content=b"no JSON", headers={"x-rollbook-endpoint": "digits"})

    assert answer.status_code == 200
    assert answer.json()["bytes"] == 7


async def test_a_token_is_asked_for_and_its_scope_is_kept(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    outside = {"authorization": f"Bearer {gateway.tokens.mint(endpoints=('other',))}"}
    elsewhere = {"authorization": f"Bearer {gateway.tokens.mint(workspace='other')}"}

    refused = [
        (await client.post(CHAT, json={"model": "digits"}, headers=headers))
        for headers in ({"authorization": "Bearer nonsense"}, outside, elsewhere)
    ]

    assert [answer.status_code for answer in refused] == [401, 403, 404]
    codes = [answer.json()["error"]["code"] for answer in refused]
    assert codes == ["invalid_api_key", "endpoint_not_in_scope", "model_not_found"]


async def test_a_large_body_passes_and_one_above_the_limit_is_told_so(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
    most = MAX_BODY_BYTES - 200

    passed = await client.post(
        CHAT, content=json.dumps({"messages": "x" * most, "model": "digits"}).encode(), headers=_JSON
    )
    large = json.dumps({"messages": "x" * 2 * most, "model": "digits"}).encode()
    refused = await refused_body(gateway, CHAT, large, **_JSON)

    assert passed.status_code == 200
    assert passed.headers["x-rollbook-deployment"] == "d1"
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"


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
    assert answer.json()["error"]["message"] == "the endpoint has no deployment that is ready"
    assert answer.json()["error"]["type"] == "server_error"


_JSON = {"content-type": "application/json"}


async def test_an_alias_is_followed_from_version_to_version_without_a_restart(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
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
