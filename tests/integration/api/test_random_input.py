"""Whatever a caller sends, the answer is never a fault of ours."""

from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import RunningApi, Stage, done
from tests.support.json_bodies import Schema, almost

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_800)]

calm = settings(suppress_health_check=list(HealthCheck))
# Kafka and ClickHouse are away here; that they are is the one thing that may be told as an outage.
AWAY = {"kafka-unavailable", "view-unavailable"}
NONSENSE = ["1", "-1", str(2**63), "9" * 40, "%00", "nan", "true", "ä"]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What /openapi says, and names and ids that exist."""

    document: dict[str, Any]
    names: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def known(api: RunningApi, stage: Stage) -> Known:
    names = [*msgspec.structs.asdict(stage).values(), "digits", "digits/1", "digits/2", "skops"]
    return Known(document=await done(api.nobody.get("/openapi")), names=names)


@calm
@given(data=st.data())
async def test_no_body_makes_a_command_fail(api: RunningApi, known: Known, data: st.DataObject) -> None:
    path, method, schema = data.draw(st.sampled_from(commands_of(known.document)))
    path, body = fill(path, data, known.names), data.draw(almost(schema, known.document, known=known.names))
    client = data.draw(st.sampled_from([api.admin, api.service]))

    answer = await client.request(method, path, content=msgspec.json.encode(body))

    assert answer.status_code < 500 or answer.json()["code"] in AWAY, (path, body, answer.text)


@calm
@given(data=st.data())
async def test_no_parameter_makes_a_question_fail(api: RunningApi, known: Known, data: st.DataObject) -> None:
    path, parameters = data.draw(st.sampled_from(questions_of(known.document)))
    names = [each["name"] for each in parameters if each.get("in") == "query" and each["name"] != "wait_ms"]
    asked = data.draw(st.dictionaries(st.sampled_from([*names, "x"]), st.sampled_from(known.names + NONSENSE)))

    answer = await api.admin.get(fill(path, data, known.names + NONSENSE), params=asked)

    assert answer.status_code < 500 or answer.json()["code"] in AWAY, (path, asked, answer.text)


async def test_the_api_is_well_after_all_that(api: RunningApi) -> None:
    assert (await done(api.nobody.get("/readyz")))["status"] == "ready"


def questions_of(document: Schema) -> list[tuple[str, list[dict[str, Any]]]]:
    return [
        (path, operations["get"].get("parameters", []))
        for path, operations in document["paths"].items()
        if "get" in operations
    ]


def commands_of(document: Schema) -> list[tuple[str, str, Schema]]:
    return [
        (path, method, operation["requestBody"]["content"]["application/json"]["schema"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]


def fill(path: str, data: st.DataObject, known: list[str]) -> str:
    """Put a name, an id or nonsense into each placeholder."""
    parts = (data.draw(st.sampled_from(known)) if part.startswith("{") else part for part in path.split("/"))
    return "/".join(parts)
