"""Copies of requests through a real Envoy: what a shadow gets, what is recorded of it, and that no caller feels it."""

import json
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from schemas.events.endpoints import ShadowRemoved, ShadowSet
from serving.gateway import names
from tests.support.gateway import MAX_BODY_BYTES, BackEnd, Gateway, until
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"
MAX_COPIES = 256


async def serve(
    gateway: Gateway, client: httpx.AsyncClient, *, percent: float = 100.0, speaks_grpc: bool = True
) -> tuple[BackEnd, BackEnd]:
    """Serve d1, with d2 as its shadow."""
    gateway.tell(ENDPOINT, created())
    (primary,) = await gateway.add(ENDPOINT, "d1", speaks_grpc=speaks_grpc)
    (shadow,) = await gateway.add(ENDPOINT, "d2", number=2, speaks_grpc=speaks_grpc)
    gateway.tell(ENDPOINT, ShadowSet(deployment_id="d2", percent=percent, reason="test"))
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))
    # A copy that is made before the worker has the shadow's instance is lost; those after it are not.
    while not shadow.requests:
        await client.post(INFER, json={})
    # Those copies of the last few requests that are still on their way would be counted by the test itself.
    await all_copies_have_ended(gateway)
    primary.requests = shadow.requests = 0
    return primary, shadow


async def all_copies_have_ended(gateway: Gateway) -> None:
    """Wait for the copies of all requests that were answered: each is made before its request reaches an engine."""

    async def have_ended() -> bool:
        under_way = await gateway.stats(rf"^cluster\.{names.COPIES_CLUSTER}\.upstream_rq_(pending_)?active$")
        assert len(under_way) == 2
        return not any(under_way.values())

    await until(have_ended, why="the end of all copies")


async def copies_made(gateway: Gateway) -> int:
    (count,) = (await gateway.stats(rf"^cluster\.{names.COPIES_CLUSTER}\.upstream_rq_total$")).values()
    return count


async def holds(gateway: Gateway, copies: int) -> bool:
    """Return whether so many copies are in progress to the shadow."""
    (count,) = (await gateway.stats(r"^cluster\.d2~shadow\.upstream_rq_active$")).values()
    return count == copies


async def recorded(gateway: Gateway, *, role: str, count: int) -> list[dict[str, Any]]:
    def of_role() -> list[dict[str, Any]]:
        lines = (gateway.folder / "current.log").read_text().rpartition("\n")[0].splitlines()
        return [record for record in map(json.loads, lines) if record.get("role") == role and record.get("id")]

    await until(lambda: len(of_role()) >= count, why=f"{count} records of role {role}")
    return of_role()


async def record_of(gateway: Gateway, prediction_id: str, *, role: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        found.extend(each for each in await recorded(gateway, role=role, count=0) if each["id"] == prediction_id)
        return bool(found)

    await until(is_there, why=f"a {role} record of {prediction_id}")
    return found[0]


@pytest.mark.parametrize(
    ("path", "asked"),
    [(INFER, {"a": 1}), ("/v1/chat/completions", {"model": "digits"}), ("/v1/embeddings", {"model": "digits"})],
)
@pytest.mark.parametrize("speaks_grpc", [True, False])
async def test_a_copy_goes_to_the_shadow_with_headers_of_its_own(
    gateway: Gateway, client: httpx.AsyncClient, path: str, asked: dict[str, Any], *, speaks_grpc: bool
) -> None:
    _, shadow = await serve(gateway, client, speaks_grpc=speaks_grpc)

    answer = await client.post(path, json=asked)

    assert answer.headers["x-rollbook-deployment"] == "d1"
    assert answer.json()["headers"]["x-rollbook-role"] == "primary"
    await until(lambda: shadow.last["x-prediction-id"] == answer.headers["x-prediction-id"])
    assert shadow.last["x-prediction-id"] == answer.headers["x-prediction-id"]
    assert shadow.last["x-rollbook-role"] == "shadow"
    assert (shadow.last["x-rollbook-deployment"], shadow.last["x-rollbook-version"]) == ("d2", "digits/2")
    assert not {"x-rollbook-route", "x-rollbook-copy-to", "x-rollbook-subject", "authorization"} & set(shadow.last)


async def test_a_copy_has_a_record_with_the_id_of_its_request(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway, client)

    answer = await client.post(INFER, json={})

    prediction_id = answer.headers["x-prediction-id"]
    copy = await record_of(gateway, prediction_id, role="shadow")
    request = await record_of(gateway, prediction_id, role="primary")
    assert (request["dep"], copy["dep"], copy["ver"], copy["st"]) == ("d1", "d2", "digits/2", 200)
    assert copy["ep"] == ENDPOINT
    assert copy["inst"] == "instance-d2-0"


async def test_only_the_share_is_copied(gateway: Gateway, client: httpx.AsyncClient) -> None:
    _, shadow = await serve(gateway, client, percent=25.0)

    for _ in range(200):
        assert (await client.post(INFER, json={})).status_code == 200

    await all_copies_have_ended(gateway)
    assert 20 <= shadow.requests <= 85


async def all_are_answered(client: httpx.AsyncClient, count: int, body: bytes = b"{}") -> None:
    """Ask one request after the other; one that waited for a shadow that hangs would never be answered."""
    for _ in range(count):
        assert (await client.post(INFER, content=body)).status_code == 200


@pytest.mark.parametrize("trouble", ["hung", "dead"])
async def test_callers_do_not_feel_a_shadow_in_trouble(
    gateway: Gateway, client: httpx.AsyncClient, trouble: str
) -> None:
    primary, shadow = await serve(gateway, client)
    shadow.may_answer.clear()
    if trouble == "dead":
        await shadow.kill()

    # More than a shadow may hold at once.
    await all_are_answered(client, 600, body=b"x" * 10_000)

    # Those that the shadow took first are in progress to the last: no one waited for them.
    await until(lambda: holds(gateway, MAX_COPIES if trouble == "hung" else 0), why="copies under way")
    assert primary.requests == 600
    assert all(record["st"] == 200 for record in await recorded(gateway, role="primary", count=600))


def refusals(gateway: Gateway) -> list[str]:
    lines = (gateway.folder / "current.log").read_text().rpartition("\n")[0].splitlines()
    records = [record for record in map(json.loads, lines) if record.get("role") == "shadow"]
    return [record["id"] for record in records if (record["st"], record["fl"]) == (503, "UO")]


async def test_copies_beyond_the_bound_are_refused_and_recorded_so(gateway: Gateway, client: httpx.AsyncClient) -> None:
    _, shadow = await serve(gateway, client)
    shadow.may_answer.clear()

    await all_are_answered(client, 400)

    await until(lambda: len(refusals(gateway)) >= 70, why="copies refused by the bound")
    assert shadow.requests <= MAX_COPIES


async def test_large_bodies_to_a_hung_shadow_hold_nobody_up(gateway: Gateway, client: httpx.AsyncClient) -> None:
    primary, shadow = await serve(gateway, client)
    shadow.may_answer.clear()

    await all_are_answered(client, 60, body=b"x" * (MAX_BODY_BYTES - 1))

    await until(lambda: holds(gateway, 60), why="copies of all of them under way")
    assert primary.requests == 60


async def test_nothing_is_copied_once_the_shadow_is_removed(gateway: Gateway, client: httpx.AsyncClient) -> None:
    primary, shadow = await serve(gateway, client)
    gateway.tell(ENDPOINT, ShadowRemoved(deployment_id="d2", reason="test"))
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))
    await all_copies_have_ended(gateway)
    primary.requests, before = 0, (shadow.requests, await copies_made(gateway))
    await all_are_answered(client, 20)
    await all_copies_have_ended(gateway)

    assert primary.requests == 20
    assert (shadow.requests, await copies_made(gateway)) == before


async def test_a_shadow_that_was_never_ready_changes_nothing(gateway: Gateway, client: httpx.AsyncClient) -> None:
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1")
    await gateway.add(ENDPOINT, "d2", number=2, instances=0)
    gateway.tell(ENDPOINT, ShadowSet(deployment_id="d2", percent=100.0, reason="test"))
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))

    assert (await client.post(INFER, json={})).status_code == 200
    shadow = gateway.table.endpoints[ENDPOINT].shadow
    assert shadow is not None
    assert shadow == replace(shadow, is_warm=False)


async def test_a_client_cannot_pose_as_a_copy(gateway: Gateway, client: httpx.AsyncClient) -> None:
    primary, shadow = await serve(gateway, client)

    forged = {"x-rollbook-role": "shadow", "x-rollbook-copy-to": "d2", "x-rollbook-subject": "other"}
    answer = await client.post(INFER, json={}, headers=forged)

    assert answer.headers["x-rollbook-deployment"] == "d1"
    assert primary.last["x-rollbook-role"] == "primary"
    assert not {"x-rollbook-copy-to", "x-rollbook-subject"} & set(primary.last)
    await until(lambda: shadow.requests == 1)
    assert primary.requests == 1
