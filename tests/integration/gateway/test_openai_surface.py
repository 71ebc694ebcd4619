"""OpenAI's API at a real Envoy: the model named in the body decides the route, and errors are in OpenAI's form."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.gateway import MAX_BODY_BYTES, Gateway, calling, refused_body, serving_gateway, until
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-019a0000-0000-7000-8000-000000000001"
CHAT = "/v1/chat/completions"

# None of these tests changes what is served, so they share one Envoy and the loop in which it is served.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with serving_gateway(Gateway(tmp_path_factory.mktemp("gateway"))) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def epoch(gateway: Gateway) -> int:
    return await serve(gateway)


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway, epoch: int) -> AsyncIterator[httpx.AsyncClient]:
    assert epoch
    async with calling(gateway) as client:
        yield client


async def serve(gateway: Gateway) -> int:
    """Serve digits/1 with all traffic; digits/2 is deployed beside it."""
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1", number=1)
    await gateway.add(ENDPOINT, "d2", number=2)
    epoch = gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await gateway.serves(ENDPOINT, epoch)
    return epoch


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses"])
async def test_the_model_in_the_body_names_the_endpoint(client: httpx.AsyncClient, epoch: int, path: str) -> None:
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
    await until(lambda: gateway.taken.get("d2", 0) >= 2, why="the cluster of the other version and its instance")
    answer = await client.post(CHAT, json={"model": model})

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-rollbook-deployment"] == "d2"
    assert answer.headers["x-rollbook-version"] == "digits/2"
    assert answer.json()["backend"] == "instance-d2-0"
    assert "x-rollbook-epoch" not in answer.headers


@pytest.mark.parametrize("model", ["digits@3", "digits:champion", "other", "", "a/b", "digits@2@1", "%", "x" * 5_000])
async def test_a_model_that_is_not_there_is_refused_as_openai_does(client: httpx.AsyncClient, model: str) -> None:
    answer = await client.post(CHAT, json={"model": model})

    assert answer.status_code == 404, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "model_not_found"
    assert error["param"] is None
    assert error["message"]
    assert answer.headers["x-prediction-id"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"digits"', b'{"model": 3}', b'{"model": ["digits"]}', b"{}"])
async def test_a_body_that_names_no_model_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post(CHAT, content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_a_forged_model_header_chooses_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, json={"model": "digits"}, headers={"x-rollbook-model": "digits@2"})

    assert answer.headers["x-rollbook-deployment"] == "d1"


async def test_a_header_names_the_endpoint_without_a_look_at_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, content=b"no JSON", headers={"x-rollbook-endpoint": "digits"})

    assert answer.status_code == 200
    assert answer.json()["bytes"] == 7


async def test_a_token_is_asked_for_and_its_scope_is_kept(gateway: Gateway, client: httpx.AsyncClient) -> None:
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
    length = MAX_BODY_BYTES - 200

    passed = await client.post(
        CHAT,
        content=json.dumps({"messages": "x" * length, "model": "digits"}).encode(),
        headers={"content-type": "application/json"},
    )
    large = json.dumps({"messages": "x" * 2 * length, "model": "digits"}).encode()
    refused = await refused_body(gateway, CHAT, large, **{"content-type": "application/json"})

    assert passed.status_code == 200
    assert passed.headers["x-rollbook-deployment"] == "d1"
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"
