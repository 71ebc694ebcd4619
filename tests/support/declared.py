"""What the API declares of its answers, and a hook that holds every answer to it."""

import re
from typing import Any

import httpx
import jsonschema

from control_plane.web.problems import MEDIA_TYPE

# What the framework refuses before it knows the operation, or what no operation can foresee.
OF_THE_RIM = {"no-such-route", "method-not-allowed", "unsupported-media-type"}


class Declared:
    """The statuses and codes of each operation, from the OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._operations = [
            (method.upper(), re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path)), operation["responses"])
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]

    async def check(self, answer: httpx.Response) -> None:
        """Fail where an operation answers what it does not declare."""
        request = answer.request
        path = request.url.raw_path.decode().partition("?")[0]
        found = [
            responses
            for method, fits, responses in self._operations
            if method == request.method and fits.fullmatch(path)
        ]
        if not found:
            return
        asked, status = f"{request.method} {path}", str(answer.status_code)
        if answer.headers.get("content-type") != MEDIA_TYPE:
            assert any(status in responses for responses in found), f"{asked} does not declare {status}"
            await self._fits(answer, [responses[status] for responses in found if status in responses], asked)
            return
        if request.method == "HEAD":
            assert status in {each for responses in found for each in responses}, f"{asked} does not declare {status}"
            return
        await answer.aread()
        code = answer.json()["code"]
        declared = {each for responses in found for each in codes_of(responses.get(status, {}), self._components)}
        assert code in declared | OF_THE_RIM, f"{asked} does not declare {code} with {status}"

    async def _fits(self, answer: httpx.Response, declared: list[dict[str, Any]], asked: str) -> None:
        schemas = [each.get("content", {}).get("application/json", {}).get("schema") for each in declared]
        if answer.headers.get("content-type") != "application/json" or None in schemas:
            return
        await answer.aread()
        validators = [jsonschema.Draft202012Validator({**schema, "components": self._components}) for schema in schemas]
        content = answer.json()
        if not any(validator.is_valid(content) for validator in validators):
            raise AssertionError(f"{asked}: {next(validators[0].iter_errors(content))}")


def codes_of(response: dict[str, Any], components: dict[str, Any]) -> list[str]:
    """Return the codes that a declared refusal may carry."""
    if "$ref" in response:
        response = components["responses"][response["$ref"].rpartition("/")[2]]
    schema = response.get("content", {}).get(MEDIA_TYPE, {}).get("schema", {})
    references = [each["$ref"] for each in schema.get("oneOf", [schema]) if each]
    problems = [components["schemas"][reference.rpartition("/")[2]] for reference in references]
    return [problem["allOf"][1]["properties"]["code"]["const"] for problem in problems]
