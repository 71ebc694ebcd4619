"""OpenAI's own client, unmodified, on files and batches behind a real Envoy."""

import asyncio
import io
import threading
from pathlib import Path

import openai
import pytest

from tests.support.api import done
from tests.support.batch_stand import COMPLETIONS, BatchStand, completion, content_of, ended, lines
from tests.support.gateway import MAX_BODY_BYTES, BackEnd, until
from tests.support.routing import added, announced, created, shifted
from tests.support.text_server import MODEL

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO_GOOD = lines([completion(0), completion(1)])


async def begin(client: openai.AsyncOpenAI, content: bytes, *, window: str = "24h") -> str:
    """Upload a file and begin a batch on it."""
    source = await client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = await client.batches.create(
        input_file_id=source.id,
        endpoint=COMPLETIONS,
        completion_window=window,  # type: ignore[arg-type]  # OpenAI knows one window alone
    )
    assert batch.status == "validating"
    return batch.id


async def test_a_batch_of_good_lines_is_completed_and_stands_in_the_log(
    stand: BatchStand, client: openai.AsyncOpenAI
) -> None:
    source = await client.files.create(file=("in.jsonl", lines(completion(n) for n in range(200))), purpose="batch")
    batch = await client.batches.create(
        input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h", metadata={"for": "a test"}
    )

    found = await ended(client, batch.id)

    assert found.status == "completed", found
    assert found.request_counts.model_dump() == {"total": 200, "completed": 200, "failed": 0}
    assert found.created_at <= found.in_progress_at <= found.finalizing_at <= found.completed_at < found.expires_at
    assert (found.error_file_id, found.errors, found.metadata) == (None, None, {"for": "a test"})
    answers = await content_of(client, found.output_file_id)
    assert sorted(answer["custom_id"] for answer in answers) == sorted(f"line-{n}" for n in range(200))
    assert len({answer["id"] for answer in answers}) == 200
    assert all(answer["response"]["status_code"] == 200 and answer["error"] is None for answer in answers)
    assert all(answer["response"]["body"]["choices"][0]["text"] for answer in answers)
    assert all(answer["response"]["request_id"] for answer in answers)
    events = await stand.events(batch.id)
    assert [event["type"] for event in events] == [
        "batches.BatchCreated.v1",
        "batches.BatchStarted.v1",
        "batches.BatchCompleted.v1",
    ]
    output = await client.files.retrieve(found.output_file_id)
    told = events[-1]["data"]
    assert (told["completed"], told["output"]["file_id"], told["output"]["size_bytes"]) == (
        200,
        output.id,
        output.bytes,
    )
    assert events[0]["data"]["scopes"] == ["*"]


async def test_files_are_shown_listed_read_and_deleted(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    made = [
        await client.files.create(file=(f"{number}.jsonl", io.BytesIO(TWO_GOOD)), purpose="batch")
        for number in range(3)
    ]

    shown = await client.files.retrieve(made[0].id)
    listed = [file.id async for file in client.files.list(limit=2)]
    oldest_first = [file.id async for file in client.files.list(order="asc")]
    outputs = [file.id async for file in client.files.list(purpose="batch_output")]
    content = await client.files.content(made[0].id)
    deleted = await client.files.delete(made[0].id)

    assert shown == made[0]
    assert (shown.bytes, shown.filename, shown.purpose, shown.object) == (len(TWO_GOOD), "0.jsonl", "batch", "file")
    assert listed == [file.id for file in reversed(made)]
    assert oldest_first == [file.id for file in made]
    assert outputs == []
    assert content.content == TWO_GOOD
    assert (deleted.id, deleted.deleted) == (made[0].id, True)
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made[0].id)
    assert made[0].id not in _names(stand)
    assert {made[1].id, made[2].id} <= _names(stand)


async def test_a_file_above_the_gateways_body_limit_streams_to_disk(client: openai.AsyncOpenAI) -> None:
    content = lines(completion(n, comment="x" * 900) for n in range(5_000))

    made = await client.files.create(file=("large.jsonl", content), purpose="batch")

    assert made.bytes == len(content) > 4 * MAX_BODY_BYTES
    assert (await client.files.content(made.id)).content == content


async def test_the_synchronous_client_works_as_well(stand: BatchStand) -> None:
    token = await stand.token()

    def run() -> list[str]:
        with openai.OpenAI(base_url=f"{stand.url}/v1", api_key=token, max_retries=0, timeout=180) as client:
            source = client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
            batch = client.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h")
            pause, found = threading.Event(), batch
            for _ in range(200):
                found = client.batches.retrieve(batch.id)
                if found.status == "completed":
                    break
                pause.wait(0.1)
            assert found.output_file_id, found
            return client.files.content(found.output_file_id).text.splitlines()

    assert len(await asyncio.to_thread(run)) == 2


async def test_an_input_with_bad_lines_fails_and_names_them(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    bad = [
        completion(0),
        completion(0),
        {"method": "POST"},
        completion(1, url="/v1/embeddings"),
        completion(2, body={"prompt": "x"}),
        completion(3, body={"model": MODEL, "stream": True}),
        completion(4, method="GET"),
        completion(5, body={"model": "no-such-endpoint"}),
        ["no", "object"],
    ]

    batch_id = await begin(client, lines(bad) + b"{no json\n")
    failed = await ended(client, batch_id)

    assert failed.status == "failed"
    told = [(problem.line, problem.code, problem.param) for problem in failed.errors.data]
    assert told == [
        (2, "duplicate_custom_id", "custom_id"),
        (3, "missing_required_parameter", "custom_id"),
        (4, "invalid_url", "url"),
        (5, "missing_required_parameter", "body.model"),
        (6, "invalid_request", "body.stream"),
        (7, "invalid_method", "method"),
        (9, "invalid_json_line", None),
        (10, "invalid_json_line", None),
    ]
    assert all(";" in problem.message for problem in failed.errors.data), "each says what to do"
    assert (failed.output_file_id, failed.error_file_id) == (None, None)
    last = (await stand.events(batch_id))[-1]
    assert last["type"] == "batches.BatchFailed.v1"
    assert last["data"]["problems"][0] == {"code": "duplicate_custom_id", "line": 2}


async def test_a_model_that_is_not_there_or_not_allowed_fails_the_batch(stand: BatchStand) -> None:
    content = lines([completion(0), completion(1, body={"model": "nothing", "prompt": "x"})])
    async with await stand.client() as every, await stand.client(endpoints=[MODEL]) as scoped:
        unknown = await ended(every, await begin(every, content))
        outside = await ended(scoped, await begin(scoped, content))

    assert [(one.code, one.line) for one in unknown.errors.data] == [("model_not_found", 2)]
    assert "no endpoint" in unknown.errors.data[0].message
    assert "may not call" in outside.errors.data[0].message


async def test_a_line_that_is_refused_stands_among_the_errors(client: openai.AsyncOpenAI) -> None:
    wrong = completion(1, body={"model": f"{MODEL}@9", "prompt": "x"})

    found = await ended(client, await begin(client, lines([completion(0), wrong])))

    assert found.status == "completed"
    assert found.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 1}
    (answer,) = await content_of(client, found.output_file_id)
    (refused,) = await content_of(client, found.error_file_id)
    assert answer["custom_id"] == "line-0"
    assert (refused["custom_id"], refused["error"]) == ("line-1", None)
    assert refused["response"]["status_code"] == 404
    assert refused["response"]["body"]["error"]["code"] == "model_not_found"


async def test_what_was_asked_before_a_cancellation_is_kept(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    async with stand.set_to(REQUESTS_AT_ONCE="1"):
        batch_id = await begin(client, lines(completion(n, letters=200) for n in range(3_000)))

        async def has_some() -> bool:
            batch = await client.batches.retrieve(batch_id)
            return batch.request_counts is not None and batch.request_counts.completed > 20

        await until(has_some, why="some answers")
        cancelling = await client.batches.cancel(batch_id)
        found = await ended(client, batch_id)

    assert cancelling.status == "cancelling"
    assert found.status == "cancelled"
    assert found.cancelled_at >= found.cancelling_at
    answers, errors = await content_of(client, found.output_file_id), await content_of(client, found.error_file_id)
    assert 20 < len(answers) < 3_000
    assert {error["error"]["code"] for error in errors} == {"batch_cancelled"}
    assert sorted(line["custom_id"] for line in (*answers, *errors)) == sorted(f"line-{n}" for n in range(3_000))
    told = (await stand.events(batch_id))[-1]
    assert told["type"] == "batches.BatchCancelled.v1"
    assert told["data"]["not_asked"] == len(errors)
    done = await ended(client, await begin(client, TWO_GOOD))
    with pytest.raises(openai.BadRequestError, match="completed"):
        await client.batches.cancel(done.id)


async def test_an_operator_ends_a_batch_by_the_log(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    async with stand.set_to(REQUESTS_AT_ONCE="1"):
        batch_id = await begin(client, lines(completion(n, letters=200) for n in range(3_000)))

        answer = await stand.api.admin.post(f"/v1/batches/{batch_id}/cancel", json={"reason": "in the way"})

        assert answer.status_code == 200, answer.text
        assert (await ended(client, batch_id)).status == "cancelled"


async def test_a_batch_whose_time_is_over_expires_with_a_line_for_each_request(
    stand: BatchStand, client: openai.AsyncOpenAI
) -> None:
    async with stand.set_to(REQUESTS_AT_ONCE="1"):
        content = lines(completion(n, letters=200) for n in range(12_000))
        found = await ended(client, await begin(client, content, window="3s"))

    assert found.status == "expired"
    answers, errors = await content_of(client, found.output_file_id), await content_of(client, found.error_file_id)
    assert answers
    assert {error["error"]["code"] for error in errors} == {"batch_expired"}
    assert sorted(line["custom_id"] for line in (*answers, *errors)) == sorted(f"line-{n}" for n in range(12_000))


async def test_nobody_sees_what_belongs_to_another(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    source = await client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
    batch = await client.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h")
    async with await stand.other() as principal, await stand.client(of=principal) as other:
        assert [file async for file in other.files.list()] == []
        assert [one async for one in other.batches.list()] == []
        for asking in (
            other.files.retrieve(source.id),
            other.files.content(source.id),
            other.files.delete(source.id),
            other.batches.retrieve(batch.id),
            other.batches.cancel(batch.id),
            other.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                await asking
            assert caught.value.code in ("file_not_found", "batch_not_found")
    assert (await client.files.retrieve(source.id)).id == source.id


async def test_identity_is_the_tokens_whatever_headers_say(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    source = await client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
    batch = await client.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h")
    owner = (await stand.events(batch.id))[0]["data"]["owner_id"]
    forged = {"x-rollbook-subject": owner, "x-rollbook-workspace": "default", "x-rollbook-scopes": '["*"]'}
    async with await stand.other() as principal, await stand.client(of=principal) as other:
        with pytest.raises(openai.NotFoundError):
            await other.files.retrieve(source.id, extra_headers=forged)
    async with openai.AsyncOpenAI(base_url=f"{stand.url}/v1", api_key="nonsense", max_retries=0) as nobody:
        with pytest.raises(openai.AuthenticationError):
            await nobody.files.list(extra_headers=forged)


async def test_batches_are_listed_in_pages_newest_first(client: openai.AsyncOpenAI) -> None:
    made = [await begin(client, TWO_GOOD) for _ in range(3)]

    listed = [batch.id async for batch in client.batches.list(limit=2)]

    assert listed == list(reversed(made))


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"input_file_id": "file-none"}, "file_id", "file_not_found"),
        ({"endpoint": "/v1/moderations"}, "endpoint", "invalid_request"),
        ({"completion_window": "soon"}, "completion_window", "invalid_completion_window"),
        ({"completion_window": "8d"}, "completion_window", "invalid_completion_window"),
        ({"metadata": {"k": "v" * 600}}, "metadata[...]", "invalid_request"),
        ({"extra_body": {"surprise": 1}}, None, "invalid_request"),
    ],
)
async def test_a_batch_that_is_asked_for_wrongly_is_refused(
    client: openai.AsyncOpenAI, changes: dict[str, object], param: str | None, code: str
) -> None:
    source = await client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
    asked: dict[str, object] = {"input_file_id": source.id, "endpoint": COMPLETIONS, "completion_window": "24h"}

    with pytest.raises(openai.APIStatusError) as caught:
        await client.batches.create(**{**asked, **changes})  # type: ignore[arg-type]

    assert (caught.value.code, caught.value.param) == (code, param), caught.value
    assert caught.value.type == "invalid_request_error"


async def test_a_file_that_is_not_taken_leaves_nothing(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    await stand.until_idle()
    before = _names(stand)

    async def refused(content: bytes, purpose: str = "batch") -> tuple[int, str | None]:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.files.create(file=("in.jsonl", content), purpose=purpose)  # type: ignore[arg-type]
        return caught.value.status_code, caught.value.code

    async with stand.set_to(MAX_FILE_BYTES="2000", MAX_REQUESTS="3", MAX_STORED_BYTES="10000"):
        assert await refused(TWO_GOOD, "fine-tune") == (400, "invalid_purpose")
        assert await refused(b"") == (400, "empty_file")
        assert await refused(b"x" * 2_001) == (413, "file_too_large")
        assert await refused(b"x" * 500_000) == (413, "file_too_large")
        assert await refused(b"\n" * 4) == (400, "too_many_lines")
        assert _names(stand) == before
        for _ in range(2):
            await client.files.create(file=("in.jsonl", TWO_GOOD), purpose="batch")
        assert await refused(b"x" * 1_900) == (429, "storage_limit_reached")
        assert len(_names(stand) - before) == 2


async def test_the_gateway_says_so_while_the_batch_server_is_away(
    stand: BatchStand, client: openai.AsyncOpenAI
) -> None:
    await stand.stop()
    try:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.files.list()
    finally:
        await stand.start()

    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.type == "server_error"


def _names(stand: BatchStand) -> set[str]:
    return {path.name for path in Path(stand.data_dir / "batches" / "files").iterdir()}


async def test_a_batch_whose_model_is_away_keeps_no_other_waiting(
    stand: BatchStand, client: openai.AsyncOpenAI
) -> None:
    await done(stand.api.admin.post("/v1/endpoints", json={"name": "away"}))
    endpoint = "endpoint-019a0000-0000-7000-8000-000000000002"
    stand.gateway.tell(endpoint, created("away"))
    back_end = await BackEnd("away").start()
    stand.gateway.tell(endpoint, added("d2"))
    stand.gateway.tell("instance-d2-0", announced(endpoint, "d2", port=back_end.port))
    await stand.gateway.serves(endpoint, stand.gateway.tell(endpoint, shifted(d2=[(0, 10_000)])))
    await back_end.kill()
    of_away = {"model": "away", "prompt": "a", "max_tokens": 4}

    async with stand.set_to(REQUESTS_AT_ONCE="2"):
        stuck = await begin(client, lines(completion(n, body=of_away) for n in range(40)))
        await until(lambda: _is(client, stuck, "in_progress"), why="a batch that asks who is away")
        batch_id = await begin(client, lines(completion(n) for n in range(100)))
        found = await ended(client, batch_id)
        assert (await client.batches.retrieve(stuck)).status == "in_progress"
        await client.batches.cancel(stuck)
        cancelled = await ended(client, stuck)

    assert found.request_counts.model_dump() == {"total": 100, "completed": 100, "failed": 0}
    assert cancelled.status == "cancelled"
    assert len(await content_of(client, cancelled.error_file_id)) == 40


async def _is(client: openai.AsyncOpenAI, batch_id: str, status: str) -> bool:
    return (await client.batches.retrieve(batch_id)).status == status
