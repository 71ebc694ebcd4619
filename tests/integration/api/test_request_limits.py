"""Every route refuses a caller that sends too many requests, and says when to go on."""

from pathlib import Path

import httpx

from tests.support.api import RunningApi, running_api


async def test_every_operation_is_limited_for_its_principal_or_for_its_address(tmp_path: Path) -> None:
    async with running_api(tmp_path, requests_per_second_each=1, requests_burst_each=1) as api:
        routes = await _routes(api)

        unlimited = {
            name: [f"{method} {path}" for method, path in routes if not await _is_limited(client, method, path)]
            for name, client in (("admin", api.admin), ("nobody", api.nobody))
        }

    # Whoever watches over the process must not be sent away for what others do at its address.
    for_watchers = ["GET /healthz", "GET /readyz"]
    assert {name: sorted(routes) for name, routes in unlimited.items()} == {
        "admin": for_watchers,
        "nobody": for_watchers,
    }


async def test_a_refusal_is_a_problem_that_names_the_limit_the_remedy_and_when_to_go_on(tmp_path: Path) -> None:
    async with running_api(tmp_path, requests_per_second_each=1, requests_burst_each=3) as api:
        answers = [await api.admin.get("/v1/models") for _ in range(20)]
        strangers = [await api.nobody.get("/v1/models") for _ in range(20)]
        programs = [await api.service.get("/v1/models") for _ in range(20)]

    refused = next(each for each in answers if each.status_code == httpx.codes.TOO_MANY_REQUESTS)
    problem = refused.json()
    assert answers[0].status_code == httpx.codes.OK
    assert refused.headers["content-type"] == "application/problem+json"
    assert (problem["code"], refused.headers["retry-after"]) == ("too-many-requests", "1")
    assert "more than 1 requests a second" in problem["detail"]
    assert "Retry-After" in problem["remedy"]
    assert strangers[0].status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.TOO_MANY_REQUESTS}
    assert strangers[-1].status_code == httpx.codes.TOO_MANY_REQUESTS
    assert {each.status_code for each in programs} == {httpx.codes.OK}


async def _routes(api: RunningApi) -> list[tuple[str, str]]:
    """Return every operation with its placeholders filled in by what nothing is called."""
    document = (await api.service.get("/openapi")).json()
    return [("GET", "/openapi")] + [
        (method.upper(), path.replace("{number}", "1").replace("{", "").replace("}", ""))
        for path, methods in document["paths"].items()
        for method in methods
    ]


async def _is_limited(client: httpx.AsyncClient, method: str, path: str) -> bool:
    """Ask until the answer is 429: on a slow machine a token may come back between two requests."""
    for _ in range(50):
        if (await client.request(method, path)).status_code == httpx.codes.TOO_MANY_REQUESTS:
            return True
    return False
