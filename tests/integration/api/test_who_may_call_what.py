"""Every route lets in whom it names, and no one else."""

from typing import Any

import httpx
import pytest

from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = {"/healthz", "/readyz", "/v1/inference-tokens/keys"}
FRESH_TOKEN = "rb_" + "A" * 43


async def test_a_route_answers_nobody_without_a_token(api: RunningApi) -> None:
    let_in = [
        f"{method} {path}"
        for method, path in await routes_of(api)
        if (await api.nobody.request(method, filled(path))).status_code != httpx.codes.UNAUTHORIZED
    ]

    assert {path.split()[1] for path in let_in} == PUBLIC


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YWRtaW46YWRtaW4=", "Bearer nonsense", f"Bearer {FRESH_TOKEN}", "Bearer ü"],
)
async def test_a_weak_token_is_refused_and_says_how_to_get_a_better_one(api: RunningApi, header: str) -> None:
    answer = await api.nobody.post("/v1/models", json={"name": "x"}, headers=[(b"authorization", header.encode())])

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (401, "unauthenticated", "Authorization")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert problem["remedy"]


async def test_a_viewer_reads_and_changes_nothing(api: RunningApi, stage: Stage) -> None:
    head = await api.head()
    async with await a_client(api, role="viewer") as viewer:
        after_registering = await api.head()
        answers = {
            f"{method} {path}": (await viewer.request(method, filled(path), json={})).status_code
            for method, path in await routes_of(api)
            if path not in PUBLIC
        }

    writing = {route: status for route, status in answers.items() if not route.startswith(("GET", "HEAD"))}
    allowed = {route for route, status in writing.items() if status != httpx.codes.FORBIDDEN}
    # Looking many predictions or counts up, asking by SQL and minting a token for the gateway leave no event.
    assert allowed == {
        "POST /v1/predictions/lookup",
        "POST /v1/measurements",
        "POST /v1/endpoints/{endpoint}/feature-summaries",
        "POST /v1/query",
        "POST /v1/inference-tokens",
    }
    hidden = {route for route, status in answers.items() if status == httpx.codes.FORBIDDEN and route.startswith("GET")}
    # Who the others are, how much all workspaces store, and which there are.
    assert hidden == {"GET /v1/principals", "GET /v1/views", "GET /v1/workspaces"}
    assert (await api.head(), after_registering) == (head + 2, head + 2)


@pytest.mark.parametrize("role", ["viewer", "operator", "service", "admin"])
async def test_an_operation_lets_in_the_roles_that_it_names_and_no_other(
    api: RunningApi, stage: Stage, role: str
) -> None:
    # A second admin would let the first one be shut out, which another test rules out.
    async with api.client(api.admin_token) if role == "admin" else await a_client(api, role=role) as caller:
        refused = {
            operation["operationId"]
            for method, path, operation in await operations_of(api)
            if is_too_weak(await caller.request(method, filled(path)), method)
        }

    named = {
        operation["operationId"]
        for _, _, operation in await operations_of(api)
        if operation["x-rollbook-roles"] and role not in operation["x-rollbook-roles"]
    }
    assert refused == named


@pytest.mark.parametrize(
    ("role", "method", "path", "body", "status"),
    [
        ("operator", "POST", "/v1/models", {"name": "by-an-operator"}, 201),
        ("operator", "POST", "/v1/principals", {"kind": "person", "name": "x", "role": "viewer"}, 403),
        ("operator", "GET", "/v1/principals", None, 403),
        ("operator", "POST", "/v1/endpoints/digits/applied", {}, 403),
        ("service", "POST", "/v1/models", {"name": "by-a-service"}, 403),
        ("service", "PUT", "/v1/endpoints/digits/traffic", {}, 403),
        ("service", "PUT", "/v1/endpoints/digits/capture-policy", {}, 403),
        ("service", "PUT", "/v1/endpoints/digits/failover-policy", {}, 403),
        ("service", "PUT", "/v1/endpoints/digits/deployments/deployment-1/regions", {}, 403),
        ("operator", "POST", "/v1/endpoints/digits/failover-started", {}, 403),
        ("operator", "POST", "/v1/endpoints/digits/failover-ended", {}, 403),
        ("service", "GET", "/v1/principals", None, 403),
    ],
)
async def test_a_role_reaches_as_far_as_it_says(
    api: RunningApi, role: str, method: str, path: str, body: object, status: int
) -> None:
    async with await a_client(api, role=role) as caller:
        answer = await caller.request(method, path, json=body)

    assert answer.status_code == status
    if status == httpx.codes.FORBIDDEN:
        assert answer.json()["code"] == "role-too-weak"


async def test_a_granted_role_holds_at_once(api: RunningApi) -> None:
    made = await done(api.admin.post("/v1/principals", json={"kind": "person", "name": "Eva", "role": "viewer"}))
    async with api.client(made["token"]) as eva:
        before = await eva.post("/v1/models", json={"name": "by-eva"})
        await done(api.admin.post(f"/v1/principals/{made['id']}/role", json={"role": "operator"}))
        after = await eva.post("/v1/models", json={"name": "by-eva"})

    assert (before.status_code, after.status_code) == (403, 201)


async def test_a_revoked_token_is_refused_at_once(api: RunningApi) -> None:
    made = await done(api.admin.post("/v1/principals", json={"kind": "service", "name": "ci", "role": "operator"}))
    async with api.client(made["token"]) as ci:
        before = await ci.get("/v1/models")
        path = f"/v1/principals/{made['id']}/tokens/{made['token_id']}/revoke"
        await done(api.admin.post(path, json={"reason": "lost"}))
        after = await ci.get("/v1/models")

    assert (before.status_code, after.status_code) == (200, 401)


async def test_another_token_of_a_principal_goes_on_working(api: RunningApi) -> None:
    made = await done(api.admin.post("/v1/principals", json={"kind": "service", "name": "ci", "role": "viewer"}))
    second = await done(api.admin.post(f"/v1/principals/{made['id']}/tokens"))
    await done(
        api.admin.post(f"/v1/principals/{made['id']}/tokens/{made['token_id']}/revoke", json={"reason": "rotated"})
    )

    async with api.client(second["token"]) as ci:
        assert (await ci.get("/v1/models")).status_code == httpx.codes.OK


async def test_the_last_admin_can_not_be_shut_out(api: RunningApi) -> None:
    principals = (await api.admin.get("/v1/principals")).json()["items"]
    admin = next(each for each in principals if each["role"] == "admin")
    token_id = admin["tokens"][0]["id"]
    attempts = {
        "role": {"role": "viewer"},
        f"tokens/{token_id}/revoke": {"reason": "x"},
        "erase": {"reason": "x"},
    }

    for verb, body in attempts.items():
        answer = await api.admin.post(f"/v1/principals/{admin['id']}/{verb}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "last-admin"), verb


async def a_client(api: RunningApi, *, role: str) -> httpx.AsyncClient:
    made = await done(api.admin.post("/v1/principals", json={"kind": "person", "name": role, "role": role}))
    return api.client(made["token"])


def is_too_weak(answer: httpx.Response, method: str) -> bool:
    if answer.status_code != httpx.codes.FORBIDDEN:
        return False
    return method == "HEAD" or bool(answer.json()["code"] == "role-too-weak")


async def routes_of(api: RunningApi) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in await operations_of(api)]


async def operations_of(api: RunningApi) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what /openapi says that there is; test_description proves that it says everything."""
    document = (await api.nobody.get("/openapi")).json()
    return [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def filled(path: str) -> str:
    """Put something into each placeholder."""
    return path.replace("{number}", "1").replace("{", "").replace("}", "")
