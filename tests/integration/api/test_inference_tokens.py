"""Tokens for the gateway, checked the way Envoy checks them: by the published key alone."""

from typing import Any

import jwt
import pytest

from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_token_is_signed_by_the_published_key_and_names_its_endpoints(api: RunningApi, stage: Stage) -> None:
    minted = await done(api.admin.post("/v1/inference-tokens", json={"endpoints": ["Digits"], "ttl_s": 60}))

    claims = await verified(api, minted["token"])
    assert (claims["iss"], claims["workspace"], claims["endpoints"]) == ("rollbook", "default", ["digits"])
    assert claims["exp"] - claims["iat"] == 60
    assert claims["sub"].startswith("principal-")
    assert claims["jti"]


async def test_a_token_may_name_all_endpoints(api: RunningApi) -> None:
    minted = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))

    assert (await verified(api, minted["token"]))["endpoints"] == ["*"]


async def test_no_two_tokens_are_the_same(api: RunningApi, stage: Stage) -> None:
    minted = [
        (await done(api.admin.post("/v1/inference-tokens", json={"endpoints": ["digits"]})))["token"] for _ in range(2)
    ]

    assert len({(await verified(api, token))["jti"] for token in minted}) == 2


async def test_minting_leaves_no_event(api: RunningApi, stage: Stage) -> None:
    head = await api.head()

    await done(api.admin.post("/v1/inference-tokens", json={"endpoints": ["digits"]}))

    assert await api.head() == head


async def test_a_principal_whose_tokens_are_revoked_is_named_to_the_gateway(api: RunningApi) -> None:
    made = await done(api.admin.post("/v1/principals", json={"kind": "service", "name": "app", "role": "service"}))
    path = f"/v1/principals/{made['id']}/tokens/{made['token_id']}/revoke"

    await done(api.admin.post(path, json={"reason": "leaked"}))

    assert made["id"] in (await done(api.service.get("/v1/snapshots/serving")))["revoked_subjects"]


async def verified(api: RunningApi, token: str) -> dict[str, Any]:
    keys = await done(api.nobody.get("/v1/inference-tokens/keys"))
    key_id = jwt.get_unverified_header(token)["kid"]
    key = next(each for each in keys["keys"] if each["kid"] == key_id)
    claims: dict[str, Any] = jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"])
    return claims
