"""What every command promises: one effect for a key, the version that the caller saw, a position, a correlation id."""

import asyncio
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from tests.support.api import RunningApi, Stage, done

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def name(numbers: Iterator[int]) -> str:
    return f"model-{next(numbers)}"


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count()


async def test_an_answer_says_version_and_position(api: RunningApi, name: str) -> None:
    answer = await api.admin.post("/v1/models", json={"name": name})

    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert int(answer.headers["rollbook-position"]) == answer.json()["position"] == await api.head()
    assert "idempotent-replayed" not in answer.headers


async def test_a_repeated_key_gets_the_first_answer_and_changes_nothing(api: RunningApi, name: str) -> None:
    headers = {"idempotency-key": f"key-{name}"}
    first = await api.admin.post("/v1/models", json={"name": name}, headers=headers)
    head = await api.head()

    second = await api.admin.post("/v1/models", json={"name": name}, headers=headers)

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert [second.headers[each] for each in ("etag", "rollbook-position")] == ['"1"', str(head)]
    assert second.headers["idempotent-replayed"] == "true"
    assert await api.head() == head


async def test_a_key_repeated_with_another_body_or_path_is_refused(api: RunningApi, stage: Stage, name: str) -> None:
    headers = {"idempotency-key": f"key-{name}"}
    await done(api.admin.post("/v1/models", json={"name": name}, headers=headers))
    head = await api.head()

    for path, body in (("/v1/models", {"name": f"{name}-2"}), ("/v1/endpoints", {"name": name})):
        answer = await api.admin.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")
    assert await api.head() == head


async def test_the_keys_of_two_principals_are_their_own(api: RunningApi, name: str) -> None:
    headers = {"idempotency-key": f"key-{name}"}
    made = await done(api.admin.post("/v1/principals", json={"kind": "person", "name": "x", "role": "operator"}))
    await done(api.admin.post("/v1/models", json={"name": name}, headers=headers))

    async with api.client(made["token"]) as other:
        answer = await other.post("/v1/models", json={"name": f"{name}-2"}, headers=headers)

    assert answer.status_code == httpx.codes.CREATED


async def test_a_refused_command_frees_its_key(api: RunningApi, name: str) -> None:
    headers = {"idempotency-key": f"key-{name}"}
    refused = await api.admin.post("/v1/endpoints", json={"name": name, "version": f"{name}/1"}, headers=headers)
    answer = await api.admin.post("/v1/models", json={"name": name}, headers=headers)

    assert (refused.status_code, answer.status_code) == (404, 201)


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_has_1_to_200_characters(api: RunningApi, name: str, key: str) -> None:
    answer = await api.admin.post("/v1/models", json={"name": name}, headers={"idempotency-key": key})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-header")
    assert answer.json()["field"] == "Idempotency-Key"


async def test_a_token_that_was_issued_under_a_key_is_the_same_again(api: RunningApi, name: str) -> None:
    body, headers = {"kind": "service", "name": "ci", "role": "viewer"}, {"idempotency-key": f"key-{name}"}

    first, second = [await done(api.admin.post("/v1/principals", json=body, headers=headers)) for _ in range(2)]

    assert first == second
    async with api.client(second["token"]) as ci:
        assert (await ci.get("/v1/models")).status_code == httpx.codes.OK


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/endpoints/digits/traffic", {"weights": []}),
        ("PUT", "/v1/endpoints/digits/capture-policy", {"policy": {"sampling_rate": 0.5}, "reason": "x"}),
        ("POST", "/v1/endpoints/digits/deployments", {"version": "digits/2"}),
        ("POST", "/v1/endpoints/digits/rollback", {"reason": "x"}),
        ("POST", "/v1/models", {"name": "stale"}),
        ("POST", "/v1/endpoints", {"name": "stale"}),
        ("POST", "/v1/principals", {"kind": "person", "name": "x", "role": "viewer"}),
    ],
)
async def test_a_stale_version_is_refused_and_leaves_nothing(
    api: RunningApi, stage: Stage, method: str, path: str, body: object
) -> None:
    head = await api.head()

    answer = await api.admin.request(method, path, json=body, headers={"if-match": '"77"'})

    assert (answer.status_code, answer.json()["code"]) == (409, "stale-version")
    assert answer.json()["field"] == "If-Match"
    assert await api.head() == head


async def test_the_version_that_was_answered_is_taken_once(api: RunningApi, stage: Stage, name: str) -> None:
    made = await api.admin.post("/v1/endpoints", json={"name": name})
    shown = await api.admin.get(f"/v1/endpoints/{name}")
    path, headers = f"/v1/endpoints/{name}/deployments", {"if-match": made.headers["etag"]}

    first, second = [await api.admin.post(path, json={"version": "digits/1"}, headers=headers) for _ in range(2)]

    assert shown.headers["etag"] == made.headers["etag"]
    assert (first.status_code, second.status_code) == (201, 409)


@pytest.mark.parametrize("value", ["7", '"x"', '"1", "2"', ""])
async def test_a_version_that_is_none_is_refused(api: RunningApi, name: str, value: str) -> None:
    answer = await api.admin.post("/v1/models", json={"name": name}, headers={"if-match": value})

    assert (answer.status_code, answer.json()["field"]) == (400, "If-Match")


async def test_of_two_commands_for_one_name_at_once_one_is_refused(api: RunningApi, numbers: Iterator[int]) -> None:
    for path in ("/v1/models", "/v1/endpoints"):
        for _ in range(5):
            wanted = f"race-{next(numbers)}"
            answers = await asyncio.gather(
                *(api.admin.post(path, json={"name": spelling}) for spelling in (wanted, wanted.upper()))
            )
            assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_many_commands_at_once_are_all_kept_each_at_its_own_position(
    api: RunningApi, numbers: Iterator[int]
) -> None:
    wanted = [f"many-{next(numbers)}" for _ in range(100)]

    answers = await asyncio.gather(*(done(api.admin.post("/v1/models", json={"name": each})) for each in wanted))

    assert len({answer["position"] for answer in answers}) == len(wanted)
    shown = await done(api.admin.get("/v1/models", params={"query": "MANY-", "limit": 1_000}))
    assert {item["name"] for item in shown["items"]} >= set(wanted)


async def test_one_key_sent_at_once_many_times_has_one_effect(api: RunningApi, name: str) -> None:
    head, headers = await api.head(), {"idempotency-key": f"key-{name}"}

    answers = await asyncio.gather(
        *(api.admin.post("/v1/models", json={"name": name}, headers=headers) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await api.head() == head + 1


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ({"x-correlation-id": "order-7"}, "order-7"),
        ({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}, "ab" * 16),
        ({"x-correlation-id": "order-8", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}, "order-8"),
    ],
)
async def test_the_callers_correlation_id_is_given_back_and_stands_in_the_event(
    api: RunningApi, name: str, sent: dict[str, str], given: str
) -> None:
    answer = await api.admin.post("/v1/models", json={"name": name}, headers=sent)

    position = answer.json()["position"]
    feed = await done(api.admin.get("/v1/events", params={"after": position - 1, "limit": 1}))
    event = feed["items"][0]["event"]
    assert (answer.headers["x-correlation-id"], event["correlationid"]) == (given, given)
    assert event["causationid"] == event["commandid"]


async def test_a_correlation_id_that_could_hurt_a_log_is_replaced(api: RunningApi) -> None:
    answer = await api.admin.get("/v1/models", headers={"x-correlation-id": 'a" b'})

    assert answer.headers["x-correlation-id"] != 'a" b'


async def test_lists_come_page_by_page(api: RunningApi, numbers: Iterator[int]) -> None:
    wanted = [f"page-{next(numbers)}" for _ in range(5)]
    for each in wanted:
        await done(api.admin.post("/v1/models", json={"name": each}))

    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await done(api.admin.get("/v1/models", params={"query": "page-", "limit": 2, "cursor": cursor}))
        assert len(page["items"]) <= 2
        found += [item["name"] for item in page["items"]]
        cursor = page.get("next")

    assert found == wanted
