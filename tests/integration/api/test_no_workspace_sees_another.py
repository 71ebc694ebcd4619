"""Whatever someone of one workspace asks with the names and ids of another: it is as if those did not exist.

Every operation is asked twice, with what the other workspace has and with what nobody has. The answers are the same but
for the names that were sent, they tell nothing else of the other workspace, and its log stays as it is.
"""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.describe import document
from schemas.events.registry import ArtifactFormat
from schemas.identifiers import WORKSPACE_HEADER
from tests.support.api import RunningApi, done
from tests.support.digits import SIGNATURE, served
from tests.support.json_bodies import almost

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_800)]

# Some ten requests for each operation in every run, a hundred in a long one.
thorough = settings(suppress_health_check=list(HealthCheck), max_examples=14 * settings().max_examples)
MINE, THEIRS, NOBODYS = "blue", "crimson", "vanished"
# Different files, as what both have is no secret.
FORMATS: dict[str, ArtifactFormat] = {MINE: "onnx", THEIRS: "skops"}
ID = re.compile(r"[a-z]+-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNSPOKEN = "what-nobody-else-says"
THINGS = (
    *("name", "model", "model_id", "version", "version_id", "alias", "endpoint", "endpoint_id", "deployment_id"),
    *("instance_id", "rollout_id", "principal_id", "token_id", "digest"),
)
THEIRS_ANY, THEIRS_NAME = "THEIRS.", "THEIRS.name"
KNOWN = [f"{whose}.{what}" for whose in ("THEIRS", "THEIRS", "MINE") for what in THINGS]
ROLES = ("admin", "operator", "service")
DOCUMENT = document()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    # It would end a caller of these tests.
    if path != "/v1/principals/{principal_id}/erase"
]


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace with one of each thing, and how someone acts in it from the home workspace."""

    name: str
    things: dict[str, str]
    """What it has, by what it is: names and ids."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request with `THEIRS.what` and `MINE.what` in the place of what the workspaces have."""

    method: str
    path: str
    parameters: dict[str, str]
    body: str
    header: str

    @property
    def text(self) -> str:
        return " ".join((self.path, *self.parameters.values(), self.body, self.header))

    def of(self, theirs: dict[str, str], mine: dict[str, str]) -> "Asked":
        """Return the request with names and ids."""
        there = {THEIRS_ANY + what: thing for what, thing in theirs.items()}
        there |= {"MINE." + what: thing for what, thing in mine.items()}

        def named(text: str, *, in_path: bool = False) -> str:
            for what in sorted(there, key=len, reverse=True):
                text = text.replace(what, quote(there[what], safe="") if in_path else there[what])
            return text

        return Asked(
            method=self.method,
            path=named(self.path, in_path=True),
            parameters={name: named(value) for name, value in self.parameters.items()},
            body=named(self.body),
            header=named(self.header),
        )

    async def sent_by(self, client: httpx.AsyncClient) -> httpx.Response:
        headers = {WORKSPACE_HEADER: self.header} if self.header else {}
        content = self.body.encode() if self.body else None
        return await client.request(self.method, self.path, params=self.parameters, content=content, headers=headers)


class Tenants(msgspec.Struct, frozen=True, kw_only=True):
    """Two workspaces, and the principals of one of them, by their roles."""

    mine: Tenant
    theirs: Tenant
    callers: dict[str, httpx.AsyncClient]

    @property
    def nobodys(self) -> dict[str, str]:
        """Names and ids like theirs, which nobody has."""
        return {what: nobodys(thing) for what, thing in self.theirs.things.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenants(api: RunningApi) -> Any:  # noqa: ANN401  a generator
    mine, theirs = [await furnished(api, name) for name in (MINE, THEIRS)]
    tokens = {role: await token_in(api, MINE, role) for role in ROLES}
    clients = {role: api.client(token) for role, token in tokens.items()}
    yield Tenants(mine=mine, theirs=theirs, callers=clients)
    for client in clients.values():
        await client.aclose()


async def furnished(api: RunningApi, name: str) -> Tenant:
    """Create a workspace, and in it one of each thing that has a name or an id."""
    inside = {WORKSPACE_HEADER: name}
    model, endpoint, words = f"{name}-digits", f"{name}-numbers", UNSPOKEN if name == THEIRS else "words"
    file = served(FORMATS[name])
    digest = file.artifact.digest
    await done(api.admin.post("/v1/workspaces", json={"name": name}))
    person = {"kind": "person", "name": words, "role": "admin"}
    principal = await done(api.admin.post("/v1/principals", json=person, headers=inside))
    await done(api.admin.post("/v1/models", json={"name": model, "description": words}, headers=inside))
    await done(api.admin.put(f"/v1/artifacts/{digest}", content=file.content, headers=inside))
    version = {"artifact": {"digest": digest, "format": FORMATS[name]}, "signature": msgspec.to_builtins(SIGNATURE)}
    path = f"/v1/models/{model}/versions"
    versions = [await done(api.admin.post(path, json=version, headers=inside)) for _ in range(2)]
    alias = {"version": 1}
    await done(api.admin.put(f"/v1/models/{model}/aliases/{name}-alias", json=alias, headers=inside))
    body = {"name": endpoint, "version": f"{model}/1"}
    made = await done(api.admin.post("/v1/endpoints", json=body, headers=inside))
    deployment = made["deployments"][0]["id"]
    announced = {
        "endpoint_id": made["id"],
        "deployment_id": deployment,
        "port": 9_000,
        **dict.fromkeys(("agent_id", "boot_id", "host", "region", "zone"), words),
    }
    instance = await done(api.service.post("/v1/instances", json=announced, headers=inside))
    plan = {"endpoint": endpoint, "version": f"{model}/2"}
    rollout = await done(api.admin.post("/v1/rollouts", json=plan, headers=inside))
    return Tenant(
        name=name,
        things={
            "name": name,
            "digest": digest,
            "model": model,
            "model_id": versions[0]["model_id"],
            "version": f"{model}/1",
            "version_id": versions[0]["id"],
            "alias": f"{name}-alias",
            "endpoint": endpoint,
            "endpoint_id": made["id"],
            "deployment_id": deployment,
            "instance_id": instance["id"],
            "rollout_id": rollout["id"],
            "principal_id": principal["id"],
            "token_id": principal["token_id"],
        },
    )


async def token_in(api: RunningApi, workspace: str, role: str) -> str:
    body = {"kind": "service", "name": f"{workspace}-{role}", "role": role}
    made = await done(api.admin.post("/v1/principals", json=body, headers={WORKSPACE_HEADER: workspace}))
    return str(made["token"])


def nobodys(thing: str) -> str:
    """Return a name or id like one of theirs, which nobody has."""
    if THEIRS in thing:
        return thing.replace(THEIRS, NOBODYS)
    return thing[:-12] + "".join("0123456789abcdef"[15 - int(digit, 16)] for digit in thing[-12:])


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Draw an operation, and fill it with what both workspaces have."""
    method, path, operation = draw(st.sampled_from(OPERATIONS))
    for each in operation.get("parameters", ()):
        name = each.get("name", "")
        if each.get("in") == "path":
            fitting = [text for text in KNOWN if text.partition(".")[2].startswith(name)]
            value = "1" if name == "number" else draw(st.sampled_from(fitting or KNOWN))
            path = path.replace(f"{{{name}}}", value)
    names = [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
    parameters = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(KNOWN))) if names else {}
    # The feed would wait.
    parameters.pop("wait_ms", None)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = "" if content is None else json.dumps(draw(almost(content["schema"], DOCUMENT, known=KNOWN)))
    header = draw(st.sampled_from(["", "", "", THEIRS_NAME, "MINE.name"]))
    return Asked(method=method, path=path, parameters=parameters, body=body, header=header)


@thorough
@given(asked=requests(), role=st.sampled_from(ROLES))
async def test_what_another_workspace_has_is_as_what_nobody_has(
    api: RunningApi, tenants: Tenants, asked: Asked, role: str
) -> None:
    client, before = tenants.callers[role], await log_of(api, THEIRS)

    absent = await asked.of(tenants.nobodys, tenants.mine.things).sent_by(client)
    found = await asked.of(tenants.theirs.things, tenants.mine.things).sent_by(client)

    # What is done with any name, such as registering a model under it, may be refused the second time.
    if THEIRS_ANY in asked.text and not absent.is_success:
        assert without_own_ids(told(absent), tenants) == without_own_ids(
            [swap(text, tenants) for text in told(found)], tenants
        ), asked
    assert UNSPOKEN not in found.text, (asked, found.text)
    assert await log_of(api, THEIRS) == before


def without_own_ids(texts: Iterable[str], tenants: Tenants) -> list[str]:
    """Write the same for each id of what the caller has made itself, under the one name or the other."""
    others = {*tenants.theirs.things.values(), *tenants.nobodys.values()}
    return [ID.sub(lambda found: found[0] if found[0] in others else "an id", text) for text in texts]


def swap(text: str, tenants: Tenants) -> str:
    """Write for each name and id of theirs the one that nobody has."""
    for what, thing in sorted(tenants.theirs.things.items(), key=lambda each: -len(each[1])):
        text = text.replace(thing, tenants.nobodys[what])
    return text


def told(answer: httpx.Response) -> tuple[str, str]:
    """Return what an answer says, without what is new in each."""
    try:
        content = answer.json()
    except ValueError:
        return str(answer.status_code), answer.text
    return str(answer.status_code), json.dumps(without_what_is_new(content), sort_keys=True)


def without_what_is_new(value: Any) -> Any:  # noqa: ANN401  JSON
    new = {"correlation_id", "position", "id", "token", "token_id", "created_at", "expires_at", "started_at", "head"}
    new |= {"model_id", "endpoint_id", "step_started_at", "read_until"}
    match value:
        case dict():
            return {name: without_what_is_new(each) for name, each in value.items() if name not in new}
        case list():
            return [without_what_is_new(each) for each in value]
        case _:
            return value


async def log_of(api: RunningApi, workspace: str) -> str:
    """Return the whole log of a workspace."""
    answer = await api.admin.get("/v1/events", params={"limit": 1_000}, headers={WORKSPACE_HEADER: workspace})
    return json.dumps([each["position"] for each in (await answer.aread(), answer.json())[1]["items"]])


async def test_no_list_shows_anything_of_another_workspace(tenants: Tenants) -> None:
    paths = [path for method, path, _ in OPERATIONS if method == "GET" and "{" not in path]
    for caller in tenants.callers.values():
        for path in paths:
            answer = await caller.get(path)
            assert UNSPOKEN not in answer.text, (path, answer.text)


async def test_what_only_our_own_programs_ask_is_for_the_home_workspace(tenants: Tenants) -> None:
    own = [
        (method, path)
        for method, path, operation in OPERATIONS
        if operation.get("x-rollbook-roles") == ["admin", "service"] and "x-rollbook-sdk" not in operation
    ]

    for role in ("admin", "service"):
        for method, path in own:
            answer = await tenants.callers[role].request(method, path.replace("{", "").replace("}", ""), json={})
            assert (answer.status_code, answer.json()["code"]) == (403, "home-workspace-only"), (method, path)
    assert len(own) >= 10


async def test_only_admins_and_services_of_the_home_workspace_act_elsewhere(api: RunningApi, tenants: Tenants) -> None:
    inside = {WORKSPACE_HEADER: THEIRS}
    operator = api.client(await token_in(api, "default", "operator"))
    async with operator:
        refused = await operator.get("/v1/models", headers=inside)
    unknown = await api.admin.get("/v1/models", headers={WORKSPACE_HEADER: NOBODYS})
    twice = await api.admin.get("/v1/models", headers=[(WORKSPACE_HEADER, THEIRS), (WORKSPACE_HEADER, MINE)])
    seen = await done(api.admin.get("/v1/models", headers=inside))

    assert (refused.status_code, refused.json()["code"]) == (404, "workspace-not-found")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "workspace-not-found")
    assert (twice.status_code, twice.json()["field"]) == (400, WORKSPACE_HEADER)
    assert [model["name"] for model in seen["items"]] == [tenants.theirs.things["model"]]
