"""Two workspaces behind one Envoy: the key of one signs for nobody else."""

import asyncio

import httpx

from schemas.events.access import InferenceTokenRevoked, InferenceTokensRevoked, SigningKey, SigningKeyRotated
from tests.support.gateway import BackEnd, Gateway, Tokens, serve_digits, until
from tests.support.routing import added, announced, created, shifted

ACME = "acme"
INFER = "/v2/models/digits/infer"


async def serve_acme(gateway: Gateway, tokens: Tokens) -> None:
    """Serve an endpoint of the same name in the other workspace, which has a key of its own."""
    key = SigningKey(key_id=tokens.kid, x=tokens.jwks[0]["x"], signs_from="1970-01-01T00:00:00Z", valid_until=None)
    gateway.tell("keyring-acme", SigningKeyRotated(keys=(key,), reason="created"), workspace=ACME)
    gateway.tell("endpoint-acme", created(), workspace=ACME)
    gateway.tell("endpoint-acme", added("d-acme"), workspace=ACME)
    back_end = await BackEnd("acme's").start()
    gateway.back_ends.append(back_end)
    gateway.tell("instance-acme", announced("endpoint-acme", "d-acme", port=back_end.port), workspace=ACME)
    epoch = gateway.tell("endpoint-acme", shifted(d_acme=[(0, 10_000)]), workspace=ACME)
    await gateway.serves("endpoint-acme", epoch)


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_key_signs_tokens_of_its_own_workspace_alone(gateway: Gateway, client: httpx.AsyncClient) -> None:
    acme = Tokens(kid=f"{ACME}.one")
    await serve_digits(gateway)
    await serve_acme(gateway, acme)
    own, forged = bearing(acme.mint(workspace=ACME)), bearing(acme.mint(workspace="default"))

    async def is_known() -> bool:
        return (await client.post(INFER, json={}, headers=own)).status_code == 200

    await until(is_known, why="acme's key at the gateway")
    answered = await client.post(INFER, json={}, headers=own)
    at_home = await client.post(INFER, json={})

    assert answered.headers["x-rollbook-deployment"] == "d-acme"
    assert at_home.headers["x-rollbook-deployment"] != "d-acme"
    paths = (("POST", INFER), ("GET", "/v1/models"), ("GET", "/v1/files"), ("GET", "/v1/batches"))
    refused = await asyncio.gather(*(client.request(method, path, headers=forged) for method, path in paths))
    assert [answer.status_code for answer in refused] == [403] * len(paths)
    # The batch server is not there, but the gateway would let this one through to it.
    assert (await client.get("/v1/files", headers=own)).status_code != 403


async def test_what_a_workspace_revokes_is_refused_of_its_own_tokens_alone(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    acme = Tokens(kid=f"{ACME}.one")
    await serve_digits(gateway)
    await serve_acme(gateway, acme)
    # Both tokens have the same id and subject.
    own, at_home = bearing(acme.mint(workspace=ACME)), bearing(gateway.tokens.mint())
    until_then = "2099-01-01T00:00:00Z"
    one = InferenceTokenRevoked(token_id="token-1", until=until_then, reason="leaked")
    gateway.tell("keyring-acme", one, workspace=ACME)

    async def is_refused() -> bool:
        return (await client.post(INFER, json={}, headers=own)).status_code == 403

    await until(is_refused, why="the refusal of acme's token")
    assert (await client.post(INFER, json={}, headers=at_home)).status_code == 200
    elsewhere = bearing(acme.mint(workspace=ACME, jti="token-2"))
    assert (await client.post(INFER, json={}, headers=elsewhere)).status_code == 200
    all_of_it = InferenceTokensRevoked(
        principal_id="principal-1", issued_before=until_then, until=until_then, reason="x"
    )
    gateway.tell("keyring-acme", all_of_it, workspace=ACME)
    own = elsewhere
    await until(is_refused, why="the refusal of all that acme's principal minted")
    assert (await client.post(INFER, json={}, headers=at_home)).status_code == 200
