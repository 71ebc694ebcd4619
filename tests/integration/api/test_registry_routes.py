"""Models, versions, artifacts and feedback through the real API on real SQLite; Kafka and ClickHouse are away."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.support.api import RunningApi, running_api
from tests.support.digits import SIGNATURE, served

MODEL = served("skops")
DIGEST = MODEL.artifact.digest
UNKNOWN_DIGEST = "sha256:" + "0" * 64
BODY: dict[str, Any] = msgspec.to_builtins(
    {"artifact": {"digest": DIGEST, "format": "skops"}, "signature": SIGNATURE, "golden": MODEL.golden}
)
MAX_BYTES = 1_000_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path, max_artifact_bytes=MAX_BYTES) as running:
        yield running


@pytest.fixture
async def filled(api: RunningApi) -> RunningApi:
    """The API with the model `digits` and its file."""
    return await fill(api)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unchanged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApi]:
    """The same once for all tests that change nothing."""
    async with running_api(tmp_path_factory.mktemp("data"), max_artifact_bytes=MAX_BYTES) as running:
        yield await fill(running)


async def fill(api: RunningApi) -> RunningApi:
    assert (await api.admin.post("/v1/models", json={"name": "digits"})).status_code == 201
    assert (await api.admin.put(f"/v1/artifacts/{DIGEST}", content=MODEL.content)).status_code == 201
    return api


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code, told
    assert told["remedy"]
    return told


def kept_files(api: RunningApi) -> list[Path]:
    return [path for path in (api.data_dir / "artifacts").rglob("*") if path.is_file()]


async def client_of(api: RunningApi, role: str) -> httpx.AsyncClient:
    made = await api.admin.post("/v1/principals", json={"kind": "person", "name": role, "role": role})
    assert made.status_code == 201, made.text
    return api.client(made.json()["token"])


async def test_a_model_and_its_versions_are_found_by_name_number_and_id(filled: RunningApi) -> None:
    made = [await filled.admin.post("/v1/models/digits/versions", json=BODY) for _ in range(2)]

    model = (await filled.admin.get("/v1/models/Digits")).json()
    first, second = (answer.json() for answer in made)
    assert [answer.status_code for answer in made] == [201, 201]
    assert (first["number"], second["number"], model["latest_version"]) == (1, 2, 2)
    assert (first["model_id"], first["model_name"]) == (model["id"], "digits")
    assert first["artifact"] == {"digest": DIGEST, "size_bytes": len(MODEL.content), "format": "skops"}
    assert second["position"] > first["position"]
    shown = await filled.admin.get(f"/v1/models/{model['id']}/versions/1")
    assert first | shown.json() == first
    assert shown.headers["etag"] == '"1"'
    assert (await filled.admin.get(f"/v1/versions/{first['id']}")).json() == shown.json()
    listed = (await filled.service.get("/v1/models/digits/versions", params={"limit": 1})).json()
    rest = (await filled.admin.get("/v1/models/digits/versions", params={"cursor": listed["next"]})).json()
    assert [each["number"] for each in listed["items"] + rest["items"]] == [1, 2]


async def test_models_are_searched_by_a_part_of_their_name(filled: RunningApi) -> None:
    assert (await filled.admin.post("/v1/models", json={"name": "letters"})).status_code == 201

    found = (await filled.admin.get("/v1/models", params={"query": "LETT"})).json()

    assert [each["name"] for each in found["items"]] == ["letters"]


async def test_versions_that_are_registered_at_once_get_numbers_without_gaps(filled: RunningApi) -> None:
    answers = await asyncio.gather(
        *(filled.admin.post("/v1/models/digits/versions", json=BODY | {"tags": {"n": str(n)}}) for n in range(12))
    )

    assert sorted(answer.json()["number"] for answer in answers) == list(range(1, 13))


async def test_a_repeated_key_gives_the_first_answer_and_no_second_version(filled: RunningApi) -> None:
    key = {"idempotency-key": "train-7"}
    first = await filled.admin.post("/v1/models/digits/versions", json=BODY, headers=key)
    again = await filled.admin.post("/v1/models/digits/versions", json=BODY, headers=key)
    other = await filled.admin.post("/v1/models/digits/versions", json=BODY | {"tags": {"a": "b"}}, headers=key)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    problem(other, 409, "idempotency-key-reused")
    assert (await filled.admin.get("/v1/models/digits")).json()["latest_version"] == 1


SIGNATURE_BODY = BODY["signature"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("/v1/models", {"name": "DIGITS"}, 409, "name-taken", "name"),
        ("/v1/models", {"name": "a/b"}, 400, "invalid-name", "name"),
        ("/v1/models", {"name": ""}, 400, "invalid-body", "name"),
        ("/v1/models", {}, 400, "invalid-body", "name"),
        ("/v1/models", {"name": "a", "colour": "red"}, 400, "invalid-body", "colour"),
        ("/v1/models", {"name": "a", "description": 7}, 400, "invalid-body", "description"),
        ("/v1/models/letters/versions", BODY, 404, "model-not-found", "model"),
        (
            "/v1/models/digits/versions",
            BODY | {"artifact": {"digest": UNKNOWN_DIGEST, "format": "skops"}},
            404,
            "artifact-not-found",
            "artifact.digest",
        ),
        (
            "/v1/models/digits/versions",
            BODY | {"artifact": {"digest": DIGEST, "format": "onnx"}},
            422,
            "artifact-is-no-model",
            "artifact",
        ),
        (
            "/v1/models/digits/versions",
            BODY | {"artifact": {"digest": "../secrets", "format": "skops"}},
            400,
            "malformed-digest",
            "artifact.digest",
        ),
        (
            "/v1/models/digits/versions",
            BODY | {"signature": SIGNATURE_BODY | {"inputs": SIGNATURE_BODY["inputs"] * 2}},
            400,
            "invalid-signature",
            "signature.inputs[1].name",
        ),
        (
            "/v1/models/digits/versions",
            BODY | {"golden": BODY["golden"] | {"outputs": {"score": [1]}}},
            400,
            "invalid-golden-example",
            "golden.outputs.score",
        ),
        ("/v1/models/digits/versions", BODY | {"tags": {"a": "b" * 2_000}}, 400, "invalid-body", "tags[...]"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_wrong_input_is_named_by_its_field_and_leaves_no_event(
    unchanged: RunningApi, path: str, body: object, status: int, code: str, field: str
) -> None:
    before = await unchanged.head()

    told = problem(await unchanged.admin.post(path, json=body), status, code)

    assert told["field"] == field
    assert await unchanged.head() == before


@pytest.mark.asyncio(loop_scope="module")
async def test_a_version_that_is_too_large_for_the_log_is_refused(unchanged: RunningApi) -> None:
    tags = {f"tag-{number}": "x" * 1_000 for number in range(60)}

    problem(
        await unchanged.admin.post("/v1/models/digits/versions", json=BODY | {"tags": tags}), 413, "event-too-large"
    )

    assert (await unchanged.admin.get("/v1/models/digits")).json()["latest_version"] is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/letters", "model-not-found"),
        ("/v1/models/digits/versions/1", "version-not-found"),
        ("/v1/models/digits/versions/99999999999999999999999", "version-not-found"),
        ("/v1/models/digits/versions/-1", "version-not-found"),
        ("/v1/versions/version-1", "version-not-found"),
        (f"/v1/artifacts/{UNKNOWN_DIGEST}", "artifact-not-found"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_does_not_exist_is_told(unchanged: RunningApi, path: str, code: str) -> None:
    problem(await unchanged.admin.get(path), 404, code)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_file_comes_back_whole_or_in_part(unchanged: RunningApi) -> None:
    path = f"/v1/artifacts/{DIGEST}"

    whole = await unchanged.service.get(path)
    part = await unchanged.service.get(path, headers={"range": "bytes=10-19"})
    outside = await unchanged.service.get(path, headers={"range": f"bytes={len(MODEL.content)}-"})
    head = await unchanged.service.head(path)

    assert (whole.status_code, whole.content) == (200, MODEL.content)
    assert (part.status_code, part.content) == (206, MODEL.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(MODEL.content)}"
    problem(outside, 416, "range-not-satisfiable")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(MODEL.content)))
    assert head.headers["content-type"] == whole.headers["content-type"] == "application/octet-stream"
    assert (await unchanged.service.head(f"/v1/artifacts/{UNKNOWN_DIGEST}")).status_code == 404


async def test_the_same_file_is_kept_once(filled: RunningApi) -> None:
    again = await filled.admin.put(f"/v1/artifacts/{DIGEST}", content=MODEL.content)

    assert (again.status_code, again.json()) == (200, {"digest": DIGEST, "size_bytes": len(MODEL.content)})
    assert len(kept_files(filled)) == 1


async def test_bytes_of_another_digest_are_refused_and_not_kept(api: RunningApi) -> None:
    answer = await api.admin.put(f"/v1/artifacts/{UNKNOWN_DIGEST}", content=b"something else")

    told = problem(answer, 422, "artifact-digest-differs")
    assert hashlib.sha256(b"something else").hexdigest() in told["detail"]
    assert kept_files(api) == []


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_file_above_the_limit_is_refused_and_not_kept(api: RunningApi, *, is_announced: bool) -> None:
    content = bytes(MAX_BYTES + 1)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65_536):
            yield content[start : start + 65_536]

    answer = await api.admin.put(f"/v1/artifacts/{digest}", content=content if is_announced else pieces())

    problem(answer, 413, "artifact-too-large")
    assert kept_files(api) == []


async def test_an_upload_that_is_cut_short_leaves_nothing(api: RunningApi) -> None:
    url = httpx.URL(api.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"PUT /v1/artifacts/{DIGEST} HTTP/1.1\r\nHost: api\r\nContent-Length: {len(MODEL.content)}\r\n"
        f"Authorization: {api.admin.headers['authorization']}\r\n\r\n"
    )
    writer.write(head.encode() + MODEL.content[:100])
    await writer.drain()
    async with asyncio.timeout(60):
        while not kept_files(api):
            await asyncio.sleep(0.01)

    writer.close()
    await writer.wait_closed()

    async with asyncio.timeout(60):
        while kept_files(api):
            await asyncio.sleep(0.01)
    problem(await api.admin.get(f"/v1/artifacts/{DIGEST}"), 404, "artifact-not-found")


async def test_uploads_above_the_limit_and_files_above_the_quota_are_refused(tmp_path: Path) -> None:
    async with running_api(tmp_path, uploads_at_once_each=1, artifact_quota_bytes=len(MODEL.content)) as api:
        has_begun, may_end = asyncio.Event(), asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield MODEL.content[:100]
            has_begun.set()
            await may_end.wait()
            yield MODEL.content[100:]

        slow = asyncio.create_task(api.admin.put(f"/v1/artifacts/{DIGEST}", content=pieces()))
        await has_begun.wait()
        async with asyncio.timeout(60):
            while not kept_files(api):
                await asyncio.sleep(0.01)
        second = await api.admin.put(f"/v1/artifacts/{UNKNOWN_DIGEST}", content=b"x")
        may_end.set()
        first = await slow
        above = await api.admin.put(f"/v1/artifacts/{UNKNOWN_DIGEST}", content=b"x")
        again = await api.admin.put(f"/v1/artifacts/{DIGEST}", content=MODEL.content)

        told = problem(second, 429, "too-many-uploads")
        assert "1 uploads of the workspace default" in told["detail"]
        assert second.headers["retry-after"] == "5"
        assert (first.status_code, again.status_code) == (201, 200)
        assert f"uses {len(MODEL.content)} of its" in problem(above, 422, "artifact-quota-exceeded")["detail"]
        assert len(kept_files(api)) == 1


@pytest.mark.parametrize("digest", ["sha256:xyz", "md5:" + "0" * 64, "..%2F..%2Fsecrets%2Fadmin.token"])
async def test_no_path_but_a_digest_reaches_the_store(api: RunningApi, digest: str) -> None:
    for method in ("GET", "PUT"):
        answer = await api.admin.request(method, f"/v1/artifacts/{digest}", content=b"x" if method == "PUT" else None)

        assert answer.status_code in {400, 404}, answer.text
        assert answer.json()["code"] in {"malformed-digest", "no-such-route"}
    assert kept_files(api) == []


async def test_each_role_may_do_its_part(filled: RunningApi) -> None:
    path, item = f"/v1/artifacts/{DIGEST}", {"prediction_id": "x", "name": "label", "value": 1}
    async with await client_of(filled, "viewer") as viewer, await client_of(filled, "operator") as operator:
        for reader in (viewer, operator, filled.service):
            assert (await reader.get(path)).status_code == 200
            assert (await reader.get("/v1/models/digits")).status_code == 200
        for weak in (viewer, filled.service):
            problem(await weak.put(path, content=MODEL.content), 403, "role-too-weak")
            problem(await weak.post("/v1/models", json={"name": "other"}), 403, "role-too-weak")
            problem(await weak.post("/v1/models/digits/versions", json=BODY), 403, "role-too-weak")
        assert (await operator.put(path, content=MODEL.content)).status_code == 200
        assert (await operator.post("/v1/models/digits/versions", json=BODY)).status_code == 201
        problem(await viewer.post("/v1/feedback", json={"items": [item]}), 403, "role-too-weak")
        for giver in (operator, filled.service):
            told = problem(await giver.post("/v1/feedback", json={"items": [item]}), 400, "invalid-feedback")
            assert told["field"] == "items[0].prediction_id"
    for method in ("GET", "PUT"):
        problem(await filled.nobody.request(method, path), 401, "unauthenticated")


async def test_feedback_without_kafka_is_an_outage_while_the_caller_still_waits(api: RunningApi) -> None:
    prediction_id = "1700000000000-01234567-89ab-4cde-8f01-23456789abcd"

    answer = await api.service.post(
        "/v1/feedback", json={"items": [{"prediction_id": prediction_id, "name": "label", "value": 1}]}
    )

    problem(answer, 503, "kafka-unavailable")
    assert answer.headers["retry-after"]


async def test_an_alias_stands_in_the_model_and_in_its_document(filled: RunningApi) -> None:
    model = (await filled.admin.get("/v1/models/digits")).json()
    version = (await filled.admin.post("/v1/models/digits/versions", json=BODY)).json()

    made = await filled.admin.put("/v1/models/digits/aliases/champion", json={"version": 1})
    aliases = (await filled.documents("model"))[model["id"]]["aliases"]
    gone = await filled.admin.post("/v1/models/digits/aliases/champion/remove", json={"reason": "done"})

    assert (made.status_code, made.json()["aliases"]) == (200, {"champion": 1})
    assert {alias: each["version_id"] for alias, each in aliases.items()} == {"champion": version["id"]}
    assert (gone.status_code, gone.json()["aliases"]) == (200, {})
    assert (await filled.documents("model"))[model["id"]]["aliases"] == {}


async def test_an_alias_that_can_not_be_is_refused_with_its_reason(filled: RunningApi) -> None:
    assert (await filled.admin.post("/v1/models/digits/versions", json=BODY)).status_code == 201
    path = "/v1/models/digits/aliases"

    problem(await filled.admin.put(f"{path}/champion", json={"version": 2}), 404, "version-not-found")
    problem(await filled.admin.put(f"{path}/champion", json={"version": 0}), 400, "invalid-body")
    problem(await filled.admin.put(f"{path}/2", json={"version": 1}), 400, "invalid-alias")
    problem(await filled.admin.put("/v1/models/other/aliases/champion", json={"version": 1}), 404, "model-not-found")
    stale = await filled.admin.put(f"{path}/champion", json={"version": 1}, headers={"if-match": '"1"'})
    problem(stale, 409, "stale-version")
