"""Bodies that decoders choke on are the caller's fault, at every operation."""

import pytest

from tests.support.api import RunningApi, done

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("value", ["1e999", '"\xff"', "[" * 2_000 + "]" * 2_000, "[" * 100_000 + "]" * 100_000])
@pytest.mark.parametrize("member", ["zzz", "policy", "counts", "reason"])
async def test_what_stands_in_a_member_never_makes_an_operation_fail(api: RunningApi, member: str, value: str) -> None:
    document = await done(api.nobody.get("/openapi"))
    commands = [
        (method, path.replace("{", "").replace("}", ""))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    content = f'{{"reason": "x", "{member}": {value}}}'.encode("latin-1")
    if member == "reason":
        content = f'{{"reason": {value}}}'.encode("latin-1")

    answers = [await api.admin.request(method, path, content=content) for method, path in commands]

    assert {answer.status_code // 100 for answer in answers} == {4}
