"""Failover of a real Envoy: instances of the region, then of the backup regions, then of the backup version."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from schemas.events.endpoints import FailoverPolicy, FailoverPolicySet
from tests.support.gateway import BackEnd, Gateway, until
from tests.support.routing import announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"


class Seen(msgspec.Struct):
    """What callers were told: status, and who answered in which region."""

    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    last: list[tuple[str, str, str]] = msgspec.field(default_factory=list)
    failures: list[str] = msgspec.field(default_factory=list)

    def only(self, version: str, region: str, *, of_last: int = 50) -> bool:
        tail = self.last[-of_last:]
        return len(tail) == of_last and {(one[0], one[1]) for one in tail} == {(version, region)}


@asynccontextmanager
async def load(client: httpx.AsyncClient, *, callers: int = 16) -> AsyncIterator[Seen]:
    seen, is_over = Seen(), asyncio.Event()

    async def call() -> None:
        while not is_over.is_set():
            answer = await client.post(INFER, json={})
            seen.statuses[answer.status_code] += 1
            headers = answer.headers
            told = tuple(headers.get(f"x-rollbook-{name}", "") for name in ("version", "region", "instance"))
            seen.last.append((told[0], told[1], told[2]))
            if answer.status_code != 200:
                seen.failures.append(f"{len(seen.last)} {answer.text}")
            elif answer.json()["backend"] != told[2]:
                seen.failures.append(f"{told[2]} is named, {answer.json()['backend']} answered")

    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    try:
        await until(lambda: sum(seen.statuses.values()) > 50)
        yield seen
    finally:
        is_over.set()
        await asyncio.gather(*tasks)


async def serve(gateway: Gateway, **policy: object) -> None:
    """Serve digits/1 from two instances here and one in `far`, with a backup version of one instance here."""
    gateway.tell(ENDPOINT, created())
    await gateway.add(ENDPOINT, "d1", instances=2)
    await gateway.grow(ENDPOINT, "d1", region="far")
    await gateway.add(ENDPOINT, "d2", number=2)
    gateway.tell(ENDPOINT, FailoverPolicySet(policy=FailoverPolicy(**policy), reason="test"))  # type: ignore[arg-type]
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)])))


def back_end(gateway: Gateway, name: str) -> BackEnd:
    return next(one for one in gateway.back_ends if one.name == name)


async def test_a_region_whose_instances_die_is_served_by_the_next_without_a_failed_request(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)

    async with load(client) as seen:
        await until(lambda: seen.only("digits/1", "local"), why="answers of the own region alone")
        for name in ("instance-d1-0", "instance-d1-1"):
            await back_end(gateway, name).kill()
        await until(lambda: seen.only("digits/1", "far"), why="answers of the next region")
        for name in ("instance-d1-0", "instance-d1-1"):
            gateway.tell(name, withdrawn(ENDPOINT, "d1"))
        await until(lambda: seen.only("digits/1", "far", of_last=200))
        again = await BackEnd("instance-d1-0").start()
        gateway.back_ends.append(again)
        gateway.tell("instance-d1-0", announced(ENDPOINT, "d1", port=again.port))
        await until(lambda: seen.only("digits/1", "local"), why="answers of the own region again")

    assert not seen.failures, (seen.failures[:5], seen.statuses)


async def test_the_backup_version_answers_when_no_region_has_the_version_and_gives_back(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway, backup_deployment_id="d2", backup_regions=("far",))

    async with load(client) as seen:
        for name in ("instance-d1-0", "instance-d1-1"):
            await back_end(gateway, name).kill()
        for name in ("instance-d1-0", "instance-d1-1"):
            gateway.tell(name, withdrawn(ENDPOINT, "d1"))
        await until(lambda: seen.only("digits/1", "far"), why="answers of the same version elsewhere")
        await back_end(gateway, "instance-d1-far-0").kill()
        await until(lambda: seen.only("digits/2", "local"), why="answers of the backup version")
        gateway.tell("instance-d1-far-0", withdrawn(ENDPOINT, "d1"))
        await until(lambda: seen.only("digits/2", "local", of_last=200))
        again = await BackEnd("instance-d1-1").start()
        gateway.back_ends.append(again)
        gateway.tell("instance-d1-1", announced(ENDPOINT, "d1", port=again.port))
        await until(lambda: seen.only("digits/1", "local"), why="the version itself again")

    assert not seen.failures, (seen.failures[:5], seen.statuses)


async def test_everything_of_the_version_dies_at_once_and_nobody_notices(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway, backup_deployment_id="d2", backup_regions=("far",))

    async with load(client) as seen:
        for one in gateway.back_ends:
            if "d1" in one.name:
                await one.kill()
        await until(lambda: seen.only("digits/2", "local"), why="answers of the backup version")

    assert not seen.failures, (seen.failures[:5], seen.statuses)


async def test_one_dead_instance_of_two_sends_nobody_to_the_backup_version(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway, backup_deployment_id="d2", backup_regions=())

    async with load(client) as seen:
        await back_end(gateway, "instance-d1-0").kill()
        await until(lambda: seen.only("digits/1", "local", of_last=300))

    assert not seen.failures, (seen.failures[:5], seen.statuses)
    # A request whose two tries both met the dead one, before it was ejected, may have gone there.
    assert back_end(gateway, "instance-d2-0").requests <= sum(seen.statuses.values()) // 100


async def test_a_region_that_is_no_backup_is_never_asked(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway, backup_regions=())
    for name in ("instance-d1-0", "instance-d1-1"):
        gateway.tell(name, withdrawn(ENDPOINT, "d1"))

    async def refuses() -> bool:
        return (await client.post(INFER, json={})).status_code == 503

    await until(refuses, why="no answer")
    answer = await client.post(INFER, json={})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "x-rollbook-deployment" not in answer.headers
    assert back_end(gateway, "instance-d1-far-0").requests == 0


async def test_a_slow_try_is_given_up_and_made_elsewhere(gateway: Gateway, client: httpx.AsyncClient) -> None:
    # Long enough that a machine which is busy for a moment does not use up the tries at the other instance.
    await serve(gateway, per_try_timeout_ms=1_500)
    back_end(gateway, "instance-d1-0").may_answer.clear()

    answers = await asyncio.gather(*(client.post(INFER, json={}) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert "instance-d1-0" not in {answer.headers["x-rollbook-instance"] for answer in answers}
    assert back_end(gateway, "instance-d1-0").requests > 0


async def test_what_is_beyond_the_limits_is_refused_at_once_with_the_time_to_come_again(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway, max_connections=1, max_pending=1, max_requests=1, backup_regions=())

    async def answers() -> list[httpx.Response]:
        """Ask twelve times at once; the instances answer when no request is on its way but the one that may wait."""
        before = sum(one.requests for one in gateway.back_ends)
        for one in gateway.back_ends:
            one.may_answer.clear()
        asked = [asyncio.create_task(client.post(INFER, json={})) for _ in range(12)]

        def settled() -> int:
            return sum(task.done() for task in asked) + sum(one.requests for one in gateway.back_ends) - before

        await until(lambda: settled() >= 11, why="refusals while the instances are at work")
        for one in gateway.back_ends:
            one.may_answer.set()
        return await asyncio.gather(*asked)

    async def most_are_refused() -> bool:
        # A worker takes up another cluster moments after the follower hears that Envoy has it.
        return sum(answer.status_code == 503 for answer in await answers()) > 4

    await until(most_are_refused, why="the limits in force")
    answered = await answers()

    refused = [answer for answer in answered if answer.status_code == 503]
    assert {answer.status_code for answer in answered} == {200, 503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}


@pytest.mark.parametrize("key", ["user-1", ""])
async def test_a_caller_is_told_the_region_and_the_instance(
    gateway: Gateway, client: httpx.AsyncClient, key: str
) -> None:
    await serve(gateway)
    forged = {"x-rollbook-region": "mars", "x-rollbook-instance": "forged"}

    answer = await client.post(INFER, json={}, headers={**forged, "x-rollbook-key": key})

    assert answer.headers.get_list("x-rollbook-region") == ["local"]
    assert answer.headers["x-rollbook-instance"] == answer.json()["backend"]
    assert not set(forged) & set(answer.json()["headers"])
