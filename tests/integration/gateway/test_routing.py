import asyncio
import time
from collections import Counter
from pathlib import Path

import httpx
import msgspec
import pytest
import xxhash

from schemas.events.endpoints import EndpointRemoved
from schemas.identifiers import prediction_started_at_ms
from serving.gateway.clusters import Comebacks
from serving.gateway.routing_state import TokenRules
from tests.support.gateway import (
    MAX_BODY_BYTES,
    BackEnd,
    Gateway,
    Tokens,
    calling,
    refused_body,
    serving_gateway,
    until,
)
from tests.support.routing import announced, created, shifted, withdrawn

ENDPOINT = "endpoint-1"
INFER = "/v2/models/digits/infer"
SLOW_START_S = 3.0
ENOUGH = 30


async def serve(gateway: Gateway, *, salt: str = "salt", instances: int = 1) -> int:
    gateway.tell(ENDPOINT, created(salt=salt))
    await gateway.add(ENDPOINT, "d1", instances=instances)
    epoch = gateway.tell(ENDPOINT, shifted(d1=[(0, 10_000)]))
    await gateway.serves(ENDPOINT, epoch)
    return epoch


async def test_every_answer_says_where_it_came_from(gateway: Gateway, client: httpx.AsyncClient) -> None:
    epoch = await serve(gateway)

    answer = await client.post(INFER, json={})

    assert answer.status_code == 200
    assert answer.headers["x-rollbook-endpoint"] == "digits"
    assert answer.headers["x-rollbook-version"] == "digits/1"
    assert answer.headers["x-rollbook-deployment"] == "d1"
    # The back end sends 99999 itself; the gateway's word counts.
    assert answer.headers.get_list("x-rollbook-epoch") == [str(epoch)]
    started_at_ms = prediction_started_at_ms(answer.headers["x-prediction-id"])
    assert started_at_ms is not None
    assert abs(started_at_ms - time.time() * 1_000) < 60_000
    seen = answer.json()["headers"]
    assert seen["x-prediction-id"] == answer.headers["x-prediction-id"]
    assert (seen["x-rollbook-role"], seen["x-rollbook-epoch"]) == ("primary", str(epoch))
    assert "authorization" not in seen


async def test_what_a_client_claims_of_itself_is_not_believed(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    forged = {
        "x-prediction-id": "forged",
        "x-rollbook-role": "probe",
        "x-rollbook-epoch": "77",
        "x-rollbook-version": "other/9",
        "x-rollbook-deployment": "d9",
        "x-rollbook-workspace": "other",
        "x-rollbook-probe": "guess",
        "x-rollbook-route": "other/digits",
        "x-envoy-max-retries": "9",
        "x-envoy-upstream-rq-timeout-ms": "1",
    }

    answer = await client.post(INFER, json={}, headers={**forged, "x-rollbook-key": "kept"})

    assert answer.status_code == 200
    seen = answer.json()["headers"]
    assert not {name for name, value in forged.items() if seen.get(name) == value}
    assert "x-rollbook-route" not in seen
    assert seen["x-rollbook-key"] == "kept"


async def test_the_trace_of_a_caller_passes_unchanged(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    trace = {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "vendor=value,other=1",
    }

    seen = (await client.post(INFER, json={}, headers=trace)).json()["headers"]

    assert {name: seen[name] for name in trace} == trace


async def test_a_client_cannot_choose_a_route_by_header_or_host(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    outside = {"authorization": f"Bearer {gateway.tokens.mint(workspace='other')}"}

    for forged in ({"x-rollbook-route": "default/digits"}, {"host": "default%2Fdigits"}, {"host": "default"}):
        answer = await client.post(INFER, json={}, headers={**outside, **forged})
        assert answer.status_code == 404, forged


async def test_the_endpoint_may_be_named_by_a_header(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)

    answer = await client.post("/v2/models/ignored/infer", json={}, headers={"x-rollbook-endpoint": "digits"})

    assert (answer.status_code, answer.headers["x-rollbook-endpoint"]) == (200, "digits")


@pytest.mark.parametrize("path", ["/v2/models/%00/infer", "/v1/models/%00"])
async def test_a_path_that_can_not_be_read_is_refused_with_a_text(
    gateway: Gateway, client: httpx.AsyncClient, path: str
) -> None:
    await serve(gateway)

    answer = await client.post(path, json={})

    assert answer.status_code == 400
    assert "cannot read the request's path" in str(answer.json()["error"])


@pytest.mark.parametrize("path", ["/v2/models/unknown/infer", "/v2/models/digits", "/rollbook/instance", "/"])
async def test_what_is_not_there_is_refused_by_the_gateway_itself_as_json(
    gateway: Gateway, client: httpx.AsyncClient, path: str
) -> None:
    await serve(gateway)

    answer = await client.get(path, headers={} if path == "/" else {"x-rollbook-endpoint": "unknown"})

    assert answer.status_code == 404
    assert "no endpoint" in answer.json()["error"]
    assert answer.headers["x-prediction-id"]
    assert gateway.back_ends[0].requests == 0


async def test_only_inference_paths_reach_an_engine(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)

    for path in ("/rollbook/instance", "/v2/repository/models/digits/unload", "/v2/models/../../rollbook/instance"):
        answer = await client.post(path, headers={"x-rollbook-endpoint": "digits"})
        assert answer.status_code == 404, path


async def test_an_endpoint_without_traffic_says_so(gateway: Gateway, client: httpx.AsyncClient) -> None:
    gateway.tell(ENDPOINT, created())

    async def says_so() -> bool:
        answer = await client.post(INFER, json={})
        return answer.status_code == 503 and "no ready deployment" in answer.json()["error"]

    await until(says_so)


async def test_a_body_above_the_limit_is_refused(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)

    assert (await client.post(INFER, content=b"x" * (MAX_BODY_BYTES // 2))).status_code == 200
    assert (await refused_body(gateway, INFER, MAX_BODY_BYTES + 1)).status_code == 413


async def test_tokens_are_checked(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    mint = gateway.tokens.mint
    cases = {
        "scoped": (mint(endpoints=("other", "Digits")), 200),
        "missing": (None, 401),
        "malformed": ("not.a.token", 401),
        "forged": (Tokens().mint(), 401),
        "expired": (mint(ttl_s=-60), 401),
        "living too long": (mint(ttl_s=7_200), 401),
        "of another issuer": (mint(iss="somebody"), 401),
        "outside its scope": (mint(endpoints=("other",)), 403),
        "of another workspace": (mint(workspace="other"), 404),
    }

    for case, (token, status) in cases.items():
        client.headers.pop("authorization", None)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = await client.post(INFER, json={}, headers=headers)
        assert answer.status_code == status, case
        assert answer.headers["x-prediction-id"], case


async def test_keys_and_revocations_change_without_touching_a_listener(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
    other = Tokens()
    rotated = {"authorization": f"Bearer {other.mint(sub='principal-2')}"}
    assert (await client.post(INFER, json={}, headers=rotated)).status_code == 401
    listeners = gateway.taken["public"]

    gateway.put(gateway.table.renew_tokens(TokenRules(keys=(*gateway.tokens.jwks, *other.jwks))))
    await until(lambda: _answers(client, rotated, 200))
    revoked = TokenRules(keys=(*gateway.tokens.jwks, *other.jwks), revoked_subjects=("principal-2",))
    gateway.put(gateway.table.renew_tokens(revoked))
    await until(lambda: _answers(client, rotated, 403))

    assert (await client.post(INFER, json={})).status_code == 200
    assert gateway.taken["public"] == listeners


async def _is_answered_by(client: httpx.AsyncClient, deployment_id: str) -> bool:
    return bool((await client.post(INFER, json={})).headers.get("x-rollbook-deployment") == deployment_id)


async def _answers(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> bool:
    return (await client.post(INFER, json={}, headers=headers)).status_code == status


async def test_a_key_stays_on_the_bucket_that_the_events_name(gateway: Gateway, client: httpx.AsyncClient) -> None:
    salt = r"a\1b%\\&"
    await serve(gateway, salt=salt)
    await gateway.add(ENDPOINT, "d2", number=2)
    ranges = {"d1": [(0, 1_000), (4_000, 9_000)], "d2": [(1_000, 4_000), (9_000, 10_000)]}
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(**ranges)))

    for number in range(300):
        key = f"user-{number}"
        bucket = xxhash.xxh64_intdigest((salt + key).encode(), seed=0) % 10_000
        owner = next(name for name, parts in ranges.items() if any(start <= bucket < end for start, end in parts))
        answer = await client.post(INFER, json={}, headers={"x-rollbook-key": key})
        assert answer.headers["x-rollbook-deployment"] == owner, key


async def test_without_a_key_the_split_is_drawn_for_each_request(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway)
    await gateway.add(ENDPOINT, "d2", number=2)
    await gateway.serves(ENDPOINT, gateway.tell(ENDPOINT, shifted(d1=[(0, 7_000)], d2=[(7_000, 10_000)])))

    answers = [await client.post(INFER, json={}) for _ in range(400)]

    served = Counter(answer.headers["x-rollbook-deployment"] for answer in answers)
    assert 70 <= served["d2"] <= 180


async def test_a_removed_endpoint_is_gone_and_another_may_take_its_name(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    await serve(gateway)
    assert (await client.post(INFER, json={})).status_code == 200

    gateway.tell(ENDPOINT, EndpointRemoved(reason="unused"))
    await until(lambda: _answers(client, {}, 404))
    models = (await client.get("/v1/models")).json()["data"]
    gateway.tell("endpoint-2", created())
    await gateway.add("endpoint-2", "d2")
    await gateway.serves("endpoint-2", gateway.tell("endpoint-2", shifted(d2=[(0, 10_000)])))

    answer = await client.post(INFER, json={})
    assert models == []
    assert (answer.status_code, answer.headers["x-rollbook-deployment"]) == (200, "d2")
    # The old name and the new one may also change hands in a single update.
    gone = gateway.table.take(gateway.log.append("endpoint-2", EndpointRemoved(reason="replaced")))
    gateway.put(gone | gateway.table.take(gateway.log.append("endpoint-3", created())))
    await gateway.add("endpoint-3", "d3")
    gateway.tell("endpoint-3", shifted(d3=[(0, 10_000)]))
    # Both have the same epoch, so a probe could not tell them apart.
    await until(lambda: _is_answered_by(client, "d3"), why="an answer of the endpoint that took the name")


async def test_weights_change_under_load_without_a_failure_and_with_one_epoch_a_request(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    first = str(await serve(gateway))
    await gateway.add(ENDPOINT, "d2", number=2)
    split_of: dict[str, set[str]] = {first: {"d1"}}
    answers: list[tuple[int, str, str, str]] = []
    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            answer = await client.post(INFER, json={})
            seen = answer.json()["headers"]
            answers.append(
                (
                    answer.status_code,
                    answer.headers["x-rollbook-epoch"],
                    answer.headers["x-rollbook-deployment"],
                    seen["x-rollbook-epoch"],
                )
            )

    callers = [asyncio.create_task(load()) for _ in range(4)]
    for turn in range(40):
        share = (0, 2_500, 10_000)[turn % 3]
        ranges = {"d1": [(share, 10_000)] if share < 10_000 else [], "d2": [(0, share)] if share else []}
        epoch = gateway.tell(ENDPOINT, shifted(**ranges))
        split_of[str(epoch)] = {name for name, parts in ranges.items() if parts}
        await until(lambda now=str(epoch): answers and answers[-1][1] == now, why=f"answers of epoch {epoch}")
    is_over.set()
    await asyncio.gather(*callers)

    assert {status for status, *_ in answers} == {200}
    assert all(sent == received for _, sent, _, received in answers)
    assert all(deployment in split_of[epoch] for _, epoch, deployment, _ in answers)
    assert {epoch for _, epoch, *_ in answers} >= split_of.keys() - {first}


class Answered(msgspec.Struct):
    """Which back ends answered, one after the other, and when."""

    names: list[str] = msgspec.field(default_factory=list)
    at_s: list[float] = msgspec.field(default_factory=list)

    def since(self, number: int) -> tuple[list[str], float]:
        """Return the next answers that are enough to tell a share by, and when the last of them came."""
        return self.names[number : number + ENOUGH], self.at_s[number + ENOUGH - 1]


async def _grow_until_a_share_is_told(gateway: Gateway, answered: Answered) -> float:
    """Add an instance; return its share of the first answers of its slow start.

    They tell something only if they came in the first half of it, which a machine that is busy with something else may
    miss; then it is tried with another instance.
    """
    for turn in range(10):
        name = f"instance-fresh-{turn}"
        gateway.back_ends.append(await BackEnd(name).start())
        began_s = time.monotonic()
        gateway.tell(name, announced(ENDPOINT, "d1", port=gateway.back_ends[-1].port))
        await until(lambda name=name: name in answered.names, why="the first request to it")
        first = answered.names.index(name)
        await until(lambda first=first: len(answered.at_s) >= first + ENOUGH, why="enough answers")
        early, until_s = answered.since(first)
        if until_s - began_s < SLOW_START_S / 2:
            return early.count(name) / ENOUGH
        gateway.tell(name, withdrawn(ENDPOINT, "d1"))
    pytest.fail(f"never {ENOUGH} answers within {SLOW_START_S / 2} s")


async def test_an_instance_that_is_added_gets_its_share_little_by_little(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, comebacks=Comebacks(slow_start_s=SLOW_START_S))
    answered = Answered()
    is_over = asyncio.Event()

    async def load(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            name = (await client.post(INFER, json={})).json()["backend"]
            answered.names.append(name)
            answered.at_s.append(time.monotonic())

    async with serving_gateway(gateway), calling(gateway) as client:
        await serve(gateway)
        served_s = time.monotonic()
        callers = [asyncio.create_task(load(client)) for _ in range(2)]
        await until(lambda: time.monotonic() > served_s + SLOW_START_S, why="the end of the first one's own slow start")
        early = await _grow_until_a_share_is_told(gateway, answered)
        fresh = gateway.back_ends[-1].name
        await until(lambda: answered.names[-100:].count(fresh) > 40, why="its full share")
        is_over.set()
        await asyncio.gather(*callers)

    assert early < 0.3


async def test_one_of_two_back_ends_dies_without_a_failed_request(gateway: Gateway, client: httpx.AsyncClient) -> None:
    await serve(gateway, instances=2)
    statuses: list[int] = []
    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            statuses.append((await client.post(INFER, json={})).status_code)

    callers = [asyncio.create_task(load()) for _ in range(32)]
    await until(lambda: len(statuses) > 100)
    await gateway.back_ends[0].kill()
    await until(lambda: len(statuses) > 300)
    gateway.tell("instance-d1-0", withdrawn(ENDPOINT, "d1"))
    await until(lambda: len(statuses) > 400)
    is_over.set()
    await asyncio.gather(*callers)

    assert set(statuses) == {200}
