"""/openapi describes every route, and holds together."""

from collections.abc import Iterator
from typing import Any, cast

import jsonschema
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.routes import HTTPRoute

from control_plane.describe import document as described
from tests.support.api import RunningApi

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWN = ("/openapi", "/v1/openapi")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(api: RunningApi) -> dict[str, Any]:
    answer = await api.nobody.get("/openapi")
    assert answer.headers["content-type"].startswith("application/json")
    return cast("dict[str, Any]", answer.json())


async def test_every_route_is_described(document: dict[str, Any], litestar: Litestar) -> None:
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    mounted = {
        (route.path_format, method.lower())
        for route in litestar.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(OWN)
        for method in route.methods
        if method != "OPTIONS"
    }

    assert described == mounted


async def test_every_operation_says_what_it_is_for(document: dict[str, Any]) -> None:
    operations = list(operations_of(document))

    assert all(operation["summary"] and operation["tags"] for _, operation in operations)
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)


async def test_every_command_shows_its_body_and_its_answer(document: dict[str, Any]) -> None:
    silent = [
        name
        for name, operation in operations_of(document)
        if name.startswith(("post", "put"))
        and not (operation.get("requestBody") and any("content" in each for each in successes(operation)))
    ]

    assert silent == []


async def test_every_operation_answers_errors_by_problem_documents(document: dict[str, Any]) -> None:
    for _, operation in operations_of(document):
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert resolved(document, problem)["required"] == ["type", "title", "status", "code", "detail"]


async def test_every_placeholder_is_a_parameter(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            given = {each["name"] for each in operation.get("parameters", []) if each.get("in") == "path"}
            assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


async def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    references = {each["$ref"] for each in members(document) if "$ref" in each}

    assert references
    for reference in references:
        resolved(document, {"$ref": reference})
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


async def test_names_are_fit_for_generated_code(document: dict[str, Any]) -> None:
    names = [
        *document["components"]["schemas"],
        *(operation["operationId"] for _, operation in operations_of(document)),
    ]

    assert [name for name in names if not name.isidentifier()] == []


async def test_it_is_published_as_it_is_answered(document: dict[str, Any]) -> None:
    assert document == described()


async def test_asking_twice_gives_the_same(api: RunningApi) -> None:
    first, second = [(await api.nobody.get("/openapi/openapi.json")).content for _ in range(2)]

    assert first == second


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method} {path}", operation


def successes(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [answer for status, answer in operation["responses"].items() if status.startswith("2")]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return cast("dict[str, Any]", found)


def members(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(inner)


@pytest.fixture
def litestar(api: RunningApi) -> Litestar:
    """Return the application inside its ASGI wrappers."""
    wrapped: Any = api.application
    while not isinstance(wrapped, Litestar):
        wrapped = next(cell.cell_contents for cell in wrapped.__closure__ if callable(cell.cell_contents))
    return wrapped
