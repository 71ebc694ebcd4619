"""Callers stay on the version that they have: the ranges that the aggregate deals, through a real Envoy."""

import httpx
import xxhash

from control_plane.endpoints.traffic.buckets import reallocate
from schemas.events.endpoints import Allocation, AssignmentKey, AssignmentKeyChosen, TrafficShifted
from tests.support.gateway import Gateway
from tests.support.routing import created, shifted

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"
SALT = "salt"
USERS = [f"user-{number}" for number in range(250)] + ["zo\u00eb", "\u65e5\u672c", "a b", "-"]


def split(allocations: tuple[Allocation, ...]) -> TrafficShifted:
    return TrafficShifted(allocations=allocations, reason="test", rollout_id=None, step=None)


def owner(allocations: tuple[Allocation, ...], key: str) -> str:
    bucket = xxhash.xxh64_intdigest((SALT + key).encode(), seed=0) % 10_000
    return next(
        each.deployment_id for each in allocations if any(part.start <= bucket < part.end for part in each.ranges)
    )


async def served(client: httpx.AsyncClient, header: str) -> dict[str, str]:
    found = {}
    for user in USERS:
        answer = await client.post(INFER, json={}, headers={header.encode(): user.encode()})
        found[user] = answer.headers["x-rollbook-deployment"]
    return found


async def test_a_growing_candidate_keeps_its_users_and_both_sides_agree(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    gateway.tell(ENDPOINT, created(salt=SALT))
    await gateway.add(ENDPOINT, "d1", instances=2)
    await gateway.add(ENDPOINT, "d2", number=2)
    gateway.tell(ENDPOINT, AssignmentKeyChosen(key=AssignmentKey(header="x-user-id"), reason="test"))
    small = reallocate(reallocate((), {"d1": 10_000}), {"d1": 9_500, "d2": 500})
    large = reallocate(small, {"d1": 7_500, "d2": 2_500})

    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, split(small)))
    before = await served(client, "x-user-id")
    await gateway.back_ends[0].kill()
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, split(large)))
    after = await served(client, "x-user-id")

    assert before == {user: owner(small, user) for user in USERS}
    assert after == {user: owner(large, user) for user in USERS}
    on_candidate = {user for user, deployment in before.items() if deployment == "d2"}
    assert on_candidate
    assert {after[user] for user in on_candidate} == {"d2"}


async def test_the_subject_of_the_token_may_be_the_key(gateway: Gateway, client: httpx.AsyncClient) -> None:
    gateway.tell(ENDPOINT, created(salt=SALT))
    await gateway.add(ENDPOINT, "d1")
    await gateway.add(ENDPOINT, "d2", number=2)
    gateway.tell(ENDPOINT, AssignmentKeyChosen(key=AssignmentKey(claim="sub"), reason="test"))
    halves = shifted(d1=[(0, 5_000)], d2=[(5_000, 10_000)])
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, halves))

    for number in range(40):
        subject = f"principal-{number}"
        token = {"authorization": f"Bearer {gateway.tokens.mint(sub=subject)}", "x-rollbook-subject": "forged"}
        answer = await client.post(INFER, json={}, headers=token)
        assert answer.headers["x-rollbook-deployment"] == owner(halves.allocations, subject)
        assert "x-rollbook-subject" not in answer.json()["headers"]
