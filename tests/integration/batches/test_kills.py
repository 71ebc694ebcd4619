"""The batch server is killed again and again in the middle of a batch; each line has one outcome all the same."""

import random
import signal
from collections import Counter
from pathlib import Path

import openai
import pytest

from tests.support.batch_stand import COMPLETIONS, BatchStand, completion, content_of, ended, lines
from tests.support.gateway import is_ready, until
from tests.support.text_server import MODEL

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 2_000
KILLS = 6
# So few that the last kill comes well before the batch's end, however late it is.
LINES_BETWEEN_KILLS = (1, 150)


async def test_each_line_has_one_outcome_however_often_the_server_is_killed(
    stand: BatchStand, client: openai.AsyncOpenAI
) -> None:
    draw = random.Random(7)
    wrong = {"model": f"{MODEL}@9", "prompt": "x"}
    content = lines(completion(n, body=wrong) if n % 10 == 0 else completion(n, letters=100) for n in range(REQUESTS))
    source = await client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = await client.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h")

    done = [0]
    for _ in range(KILLS):
        enough = done[-1] + draw.randint(*LINES_BETWEEN_KILLS)
        await until(lambda: _lines_kept(stand, batch.id) >= enough, within_s=180, why=f"{enough} lines kept")  # noqa: B023 - awaited at once
        await stand.stop(signal.SIGKILL)
        done.append(_lines_kept(stand, batch.id))
        if len(done) == 3:
            _tear_last_line(stand, batch.id)
        await stand.start(REQUESTS_AT_ONCE="4")
    found = await ended(client, batch.id, within_s=90)

    assert found.status == "completed"
    assert found.request_counts.model_dump() == {
        "total": REQUESTS,
        "completed": REQUESTS * 9 // 10,
        "failed": REQUESTS // 10,
    }
    answers, errors = await content_of(client, found.output_file_id), await content_of(client, found.error_file_id)
    counted = Counter(line["custom_id"] for line in (*answers, *errors))
    assert counted == Counter(f"line-{n}" for n in range(REQUESTS))
    assert {error["response"]["status_code"] for error in errors} == {404}
    assert done == sorted(done), "what was kept is never asked again"
    assert 0 < done[-1] < REQUESTS, f"the kills came in the middle of the batch: {done}"
    events = [event["type"] for event in await stand.events(batch.id)]
    assert events == ["batches.BatchCreated.v1", "batches.BatchStarted.v1", "batches.BatchCompleted.v1"]
    assert not any((stand.data_dir / "batches" / "runs" / batch.id).glob("*.jsonl"))


async def test_a_batch_goes_on_when_the_gateway_was_away(stand: BatchStand, client: openai.AsyncOpenAI) -> None:
    source = await client.files.create(
        file=("in.jsonl", lines(completion(n, letters=200) for n in range(800))), purpose="batch"
    )
    batch = await client.batches.create(input_file_id=source.id, endpoint=COMPLETIONS, completion_window="24h")

    async def has_some() -> bool:
        counts = (await client.batches.retrieve(batch.id)).request_counts
        return counts is not None and counts.completed > 50

    await until(has_some, why="some answers")
    await stand.gateway.envoy.stop(signal.SIGKILL)
    await stand.gateway.envoy.start()
    await until(lambda: is_ready(stand.gateway.ports), why="a ready Envoy")
    found = await ended(client, batch.id, within_s=180)

    assert found.status == "completed"
    assert found.request_counts.completed == 800


def _parts(stand: BatchStand, batch_id: str) -> list[Path]:
    return list((stand.data_dir / "batches" / "runs" / batch_id).glob("[oe]*.jsonl"))


def _lines_kept(stand: BatchStand, batch_id: str) -> int:
    return sum(part.read_bytes().count(b"\n") for part in _parts(stand, batch_id))


def _tear_last_line(stand: BatchStand, batch_id: str) -> None:
    """Leave what a loss of power may leave: the beginning of a line."""
    for part in _parts(stand, batch_id):
        with part.open("ab") as file:
            file.write(b'{"id":"batch_req_x_1","custom_id":"lin')
