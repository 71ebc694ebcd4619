"""What the gateway adds over calling the engine directly, and against an Envoy with the same routes written by hand.

One caller, one request after the other, each round through all ways in turn, so that what disturbs the machine
disturbs them alike. Every request carries a prediction id, as the gateway's own do, so that the engine does the same
work, capture included, whichever way it is called.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx

from benchmarks.digits import PATH, image_bodies, register_two_versions, serve
from benchmarks.figures import Figure, at_most, below, quantile
from benchmarks.stack import Stack, running_stack
from benchmarks.static_envoy import static_envoy
from benchmarks.wire import BlockingConnection, request_bytes
from rollbook import Rollbook
from rollbook.resources import Endpoint

_ROUNDS = 3_000
_ROUNDS_FULL = 10_000
_WARM_UP = 200
_OK = 200
DIRECT, BARE, ALIKE, GATEWAY = (
    "the engine",
    "hand-written Envoy, bare",
    "hand-written Envoy, token and log",
    "the gateway",
)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Time single requests on all ways."""
    with running_stack() as stack, stack.client() as rollbook, ExitStack() as opened:
        endpoint = serve(rollbook, *register_two_versions(rollbook))
        _split(rollbook, endpoint)
        ports = [deployment.instances[0].port for deployment in endpoint.deployments]
        folder = stack.data_dir / "benchmark"
        bare = opened.enter_context(static_envoy(folder / "bare", engine_ports=ports))
        alike = opened.enter_context(static_envoy(folder / "alike", engine_ports=ports, jwks=_keys(stack)))
        urls = {DIRECT: f"http://127.0.0.1:{ports[0]}", BARE: bare, ALIKE: alike, GATEWAY: stack.gateway_url}
        ways = {name: opened.enter_context(BlockingConnection(url)) for name, url in urls.items()}
        token = rollbook.inference_tokens.mint(["*"]).token
        _time(ways, token=token, rounds=_WARM_UP)
        yield _figures(_time(ways, token=token, rounds=_ROUNDS_FULL if full else _ROUNDS))


def _split(rollbook: Rollbook, endpoint: Endpoint) -> None:
    """Have two deployments in the route, as the hand-written ones, with next to nothing on the second."""
    first, second = endpoint.deployments
    rollbook.endpoints.set_traffic(endpoint.name, {first.id: 99.99, second.id: 0.01})
    time.sleep(1)


def _keys(stack: Stack) -> dict[str, Any]:
    answer = httpx.get(f"{stack.api_url}/v1/inference-tokens/keys", timeout=10)
    answer.raise_for_status()
    keys: dict[str, Any] = answer.json()
    return keys


def _time(ways: dict[str, BlockingConnection], *, token: str, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    bodies = [body.encode() for body in image_bodies()]
    names = list(ways)
    for number in range(rounds):
        # Each way has each place in the round, so that none always comes after the same other.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            headers = {
                "authorization": f"Bearer {token}",
                "content-type": "application/json",
                "x-prediction-id": f"{time.time_ns() // 1_000_000}-{uuid.uuid4()}",
            }
            request = request_bytes("POST", PATH, headers=headers, body=bodies[number % len(bodies)])
            began = time.perf_counter()
            answer = ways[name].ask(request)
            times[name].append((time.perf_counter() - began) * 1000)
            if answer.status != _OK:
                raise RuntimeError(f"{name} answers {answer.status}: {answer.body.decode()}")
    return times


def _figures(times: dict[str, list[float]]) -> list[Figure]:
    p50 = {name: quantile(taken, 0.5) for name, taken in times.items()}
    added = [after - before for before, after in zip(times[DIRECT], times[GATEWAY], strict=True)]
    return [
        *(
            Figure(
                name=f"one request by {name}, p50",
                value=p50[name],
                unit="ms",
                note=f"p10 {quantile(taken, 0.1):.3f}, p99 {quantile(taken, 0.99):.2f} ms; {len(taken):,} requests",
            )
            for name, taken in times.items()
        ),
        Figure(
            name="the gateway adds to the engine, p50",
            value=p50[GATEWAY] - p50[DIRECT],
            unit="ms",
            goal=below(1),
            note=f"median of the differences of pairs {quantile(added, 0.5):.3f} ms",
        ),
        Figure(
            name="a request by the gateway to one by the bare Envoy, p50",
            value=p50[GATEWAY] / p50[BARE],
            unit="×",
            goal=at_most(1.1),
        ),
        Figure(
            name="a request by the gateway to one by the Envoy alike, p50",
            value=p50[GATEWAY] / p50[ALIKE],
            unit="×",
            goal=at_most(1.1),
        ),
        Figure(
            name="what the gateway adds to what the Envoy alike adds",
            value=(p50[GATEWAY] - p50[DIRECT]) / (p50[ALIKE] - p50[DIRECT]),
            unit="×",
            note=f"to the bare one {(p50[GATEWAY] - p50[DIRECT]) / (p50[BARE] - p50[DIRECT]):.2f}×",
        ),
    ]
