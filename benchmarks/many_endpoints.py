"""Many endpoints on two engines: what no laptop has the memory for is announced, and all the rest is real.

Each endpoint has two deployments. Those of the first endpoint are engines that the serving agent started. Starting two
thousand more would measure this machine's memory, so the agent is suspended and the benchmark announces, with a
service token and through the same route as the agent, an instance for each further deployment at the address of one of
the two engines. Endpoints, deployments, instances, events, routes and clusters are as many as the count says.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from benchmarks.digits import PATH, eventually, image_bodies
from benchmarks.stack import Stack
from benchmarks.wire import BlockingConnection, request_bytes
from rollbook.resources import Endpoint

_WRITERS = 4
_OK = 200


class Target(msgspec.Struct, kw_only=True):
    """An endpoint whose weights are changed, and how often they were."""

    name: str
    endpoint_id: str
    deployment_ids: tuple[str, str]
    changes: int = 0


def target_of(endpoint: Endpoint) -> Target:
    """Return the first endpoint as a target."""
    first, second = endpoint.deployments
    return Target(name=endpoint.name, endpoint_id=endpoint.id, deployment_ids=(first.id, second.id))


def add_endpoints(stack: Stack, first: Endpoint, numbers: Iterable[int], *, versions: tuple[str, str]) -> list[Target]:
    """Register an endpoint for each number, and return once the gateway serves them all."""
    wanted = list(numbers)
    if not wanted:
        return []
    stack.suspend("agent")
    ports = [deployment.instances[0].port for deployment in first.deployments]
    slices = [wanted[start::_WRITERS] for start in range(_WRITERS)]
    with ThreadPoolExecutor(_WRITERS) as pool:
        written = pool.map(lambda part: _write(stack, part, versions=versions, ports=ports), slices)
        targets = [target for part in written for target in part]
    token, body = _mint(stack), image_bodies()[0]
    with BlockingConnection(stack.gateway_url) as gateway, BlockingConnection(stack.api_url) as api:
        for target in targets:
            eventually(partial(_answers, gateway, target.name, token=token, body=body))
        for target in targets:
            eventually(partial(_is_applied, api, target.name, token=stack.token("admin")))
    return targets


def _write(stack: Stack, numbers: list[int], *, versions: tuple[str, str], ports: list[int]) -> list[Target]:
    with BlockingConnection(stack.api_url) as api:

        def command(role: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = api.ask(_request("POST", path, token=stack.token(role), body=msgspec.json.encode(body)))
            if answer.status >= 300:
                raise RuntimeError(f"POST {path}: {answer.status} {answer.body.decode()}")
            taken: dict[str, Any] = msgspec.json.decode(answer.body)
            return taken

        return [_endpoint(f"digits-{number}", command, versions=versions, ports=ports) for number in numbers]


def _endpoint(
    name: str,
    command: Callable[[str, str, dict[str, Any]], dict[str, Any]],
    *,
    versions: tuple[str, str],
    ports: list[int],
) -> Target:
    endpoint = command("admin", "/v1/endpoints", {"name": name, "version": versions[0]})
    second = command("admin", f"/v1/endpoints/{name}/deployments", {"version": versions[1]})
    deployment_ids = (endpoint["deployments"][0]["id"], second["id"])
    for deployment_id, port in zip(deployment_ids, ports, strict=True):
        announcement = {
            "endpoint_id": endpoint["id"],
            "deployment_id": deployment_id,
            **dict.fromkeys(("agent_id", "boot_id"), "benchmark"),
            **dict.fromkeys(("region", "zone"), "local"),
            "host": "127.0.0.1",
            "port": port,
        }
        command("agent", "/v1/instances", announcement)
    return Target(name=name, endpoint_id=endpoint["id"], deployment_ids=deployment_ids)


def _mint(stack: Stack) -> str:
    with stack.client() as rollbook:
        return rollbook.inference_tokens.mint(["*"]).token


def _answers(gateway: BlockingConnection, name: str, *, token: str, body: str) -> bool:
    request = request_bytes(
        "POST",
        PATH,
        headers={
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "x-rollbook-endpoint": name,
        },
        body=body.encode(),
    )
    return gateway.ask(request).status == _OK


def _is_applied(api: BlockingConnection, name: str, *, token: str) -> bool:
    return bool(msgspec.json.decode(api.ask(_request("GET", f"/v1/endpoints/{name}", token=token)).body)["applied"])


def _request(method: str, path: str, *, token: str, body: bytes = b"") -> bytes:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    return request_bytes(method, path, headers=headers, body=body)
