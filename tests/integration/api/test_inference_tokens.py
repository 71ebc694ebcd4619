"""Tokens for the gateway, checked the way Envoy checks them: by the published key alone."""

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.api import RunningApi, Stage, done, running_api

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

    keys = await done(api.service.get("/v1/inference-tokens/keys"))
    assert made["id"] in keys["revoked_subjects"]
    assert set(await api.documents("principal")) == {made["id"]}


async def test_a_rotated_key_signs_and_the_one_before_stays_published(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        before = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))
        rotation = {"reason": "yearly", "lead_s": 0}

        rotated = await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation))
        after = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))

        first, second = (key["key_id"] for key in rotated["keys"])
        assert jwt.get_unverified_header(before["token"])["kid"] == first
        assert jwt.get_unverified_header(after["token"])["kid"] == second
        for minted in (before, after):
            assert (await verified(api, minted["token"]))["jti"] == minted["id"]
        (event,) = (await done(api.admin.get("/v1/events", params={"type": "access.SigningKeyRotated.v1"})))["items"]
        assert event["event"]["data"]["reason"] == "yearly"
        assert "PRIVATE" not in str(event)
    async with running_api(tmp_path) as again:
        third = await done(again.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))
        assert jwt.get_unverified_header(third["token"])["kid"] == second
        await verified(again, before["token"])


async def test_a_key_without_overlap_ends_every_other_key(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        before = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))

        rotation = {"reason": "leaked", "overlap_s": 0}
        (only,) = (await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation)))["keys"]

        published = (await done(api.nobody.get("/v1/inference-tokens/keys")))["keys"]
        assert [key["kid"] for key in published] == [only["key_id"]]
        assert jwt.get_unverified_header(before["token"])["kid"] != only["key_id"]
        file = tmp_path / "secrets" / f"inference-signing-{only['key_id']}.pem"
        assert file.stat().st_mode & 0o777 == 0o600


async def test_simultaneous_rotations_leave_the_private_half_of_the_last_one(tmp_path: Path) -> None:
    rotation = {"reason": "leaked", "overlap_s": 0}
    async with running_api(tmp_path) as api:
        for _ in range(6):
            rotations = (api.admin.post("/v1/inference-tokens/rotate-key", json=rotation) for _ in range(24))
            answers = await asyncio.gather(*rotations)

            assert {answer.status_code for answer in answers} == {200}
            minted = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))
            assert (await verified(api, minted["token"]))["jti"] == minted["id"]


async def test_a_refused_rotation_after_a_restart_keeps_the_key_that_still_signs(tmp_path: Path) -> None:
    rotation = {"reason": "yearly", "lead_s": 3_600}
    async with running_api(tmp_path) as api:
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation))
        kept = _private_halves(tmp_path)
    async with running_api(tmp_path) as again:
        refused = await again.admin.post("/v1/inference-tokens/rotate-key", json=rotation)

        assert refused.json()["code"] == "key-rotation-under-way"
        assert set(kept) < set(_private_halves(tmp_path))
        await done(again.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))


async def test_a_private_key_that_is_gone_is_told_with_the_remedy(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        rotation = {"reason": "yearly", "overlap_s": 0}
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation))
    for path in _private_halves(tmp_path):
        path.unlink()
    async with running_api(tmp_path, accept_lost_keys=True) as api:
        answer = await api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "signing-key-missing")
        assert "rotate" in answer.json()["remedy"]
        await done(api.admin.post("/v1/inference-tokens/rotate-key", json=rotation))
        await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))


async def test_revocations_are_published_to_gateways(api: RunningApi) -> None:
    minted = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))
    holder = (await verified(api, minted["token"]))["sub"]

    await done(api.admin.post("/v1/inference-tokens/revoke", json={"token_id": minted["id"], "reason": "leaked"}))
    await done(api.admin.post("/v1/inference-tokens/revoke", json={"principal_id": holder, "reason": "leaked"}))

    keys = await done(api.service.get("/v1/inference-tokens/keys"))
    assert minted["id"] in keys["revoked_tokens"]
    (revoked,) = [one for one in keys["revoked_principals"] if one["principal_id"] == holder]
    issued_at = jwt.decode(minted["token"], options={"verify_signature": False})["iat"]
    assert issued_at < revoked["issued_before_s"] <= issued_at + 5
    (keyring,) = (await api.documents("keyring")).values()
    assert minted["id"] in [each["token_id"] for each in keyring["tokens"]]
    assert [each["principal_id"] for each in keyring["principals"]] == [holder]


async def test_who_is_refused_is_told_to_gateways_alone(api: RunningApi) -> None:
    minted = await done(api.service.post("/v1/inference-tokens", json={"endpoints": ["*"]}))
    await done(api.admin.post("/v1/inference-tokens/revoke", json={"token_id": minted["id"], "reason": "leaked"}))

    told = await done(api.service.get("/v1/inference-tokens/keys"))

    assert minted["id"] in told["revoked_tokens"]
    async with api.client("rb_unknown") as stranger:
        for client in (api.nobody, api.admin, stranger):
            keys = await done(client.get("/v1/inference-tokens/keys"))
            refused = (keys["revoked_tokens"], keys["revoked_subjects"], keys["revoked_principals"])
            assert (keys["is_public"], refused) == (True, ([], [], []))
            assert keys["keys"] == told["keys"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"reason": "x"}, 400, "revocation-unclear"),
        ({"reason": "x", "token_id": "a", "principal_id": "b"}, 400, "revocation-unclear"),
        ({"reason": "x", "principal_id": "principal-none"}, 404, "principal-not-found"),
        ({"token_id": "a"}, 400, "invalid-body"),
    ],
)
async def test_an_unclear_revocation_is_refused(api: RunningApi, body: dict[str, str], status: int, code: str) -> None:
    answer = await api.admin.post("/v1/inference-tokens/revoke", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["remedy"]


def _private_halves(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "secrets").glob("inference-signing*"))


async def verified(api: RunningApi, token: str) -> dict[str, Any]:
    keys = await done(api.nobody.get("/v1/inference-tokens/keys"))
    key_id = jwt.get_unverified_header(token)["kid"]
    key = next(each for each in keys["keys"] if each["kid"] == key_id)
    claims: dict[str, Any] = jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"])
    return claims
