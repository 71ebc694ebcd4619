"""Labels on a running stack: compared by the type of the answer, and corrected by the order of the log."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from infra.kafka.clients import producer
from infra.kafka.connection import KafkaConnection
from rollbook import Rollbook
from schemas.identifiers import prediction_started_at_ms
from schemas.observations import Feedback
from schemas.topics import FEEDBACK
from tests.support.command_line import CommandLine
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(1_200)
SERVES_WITHIN_S = 180.0
SEEN_WITHIN_S = 180.0
INPUT = {"name": "x", "datatype": "FP64", "shape": [-1, 1]}
X = np.array([[-1.0], [1.0]])


@pytest.fixture
def local(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Rollbook:
    monkeypatch.setenv("ROLLBOOK_DATA_DIR", str(stack.data_dir))
    return Rollbook.local()


def answers_of(
    rollbook: Rollbook, name: str, model: object, *, datatype: str, directory: Path, rows: Sequence[float]
) -> list[tuple[str, Any]]:
    """Serve a model, and return for each row the prediction id and the answer."""
    file = directory / "model.skops"
    skops.io.dump(model, file)
    output = {"name": "answer", "datatype": datatype, "shape": [-1]}
    rollbook.models.register(name)
    version = rollbook.versions.register(name, file, signature={"inputs": [INPUT], "outputs": [output]})
    endpoint = rollbook.serve(name, version.reference, timeout_s=SERVES_WITHIN_S)
    results = [endpoint.predict(np.array([[row]])) for row in rows]
    return [(result.id, result["answer"].ravel()[0]) for result in results]


def until_compared(rollbook: Rollbook, name: str, *, correct: int, labelled: int) -> None:
    def seen() -> bool:
        items = rollbook.endpoints.quality(name, feedback_name="label", bucket_ms=3_600_000).items
        return (sum(item.correct for item in items), sum(item.labelled for item in items)) == (correct, labelled)

    eventually(seen, f"{correct} of {labelled} labels are right", within_s=SEEN_WITHIN_S)


def test_text_is_compared_as_text(local: Rollbook, name: str, tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, ["01", "1"])
    with local as rollbook:
        answers = answers_of(rollbook, name, model, datatype="BYTES", directory=tmp_path, rows=(-5.0, 5.0))
        (first, text), (second, other) = answers

        rollbook.feedback.send([{"prediction_id": one, "name": "label", "value": "1"} for one in (first, second)])

        until_compared(rollbook, name, correct=1, labelled=2)
    assert (text, other) == ("01", "1")


def test_floats_are_compared_at_their_own_precision(
    stack: RunningStack, local: Rollbook, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(capfd, "--data-dir", str(stack.data_dir))
    model = LinearRegression().fit(X, [0.1, 0.1])
    with local as rollbook:
        answers = answers_of(rollbook, name, model, datatype="FP32", directory=tmp_path, rows=(0.0, 0.0, 0.0))

        labels = (0.1, 0.100001, "much")
        rollbook.feedback.send(
            [
                {"prediction_id": one, "name": "label", "value": label}
                for (one, _), label in zip(answers, labels, strict=True)
            ]
        )

        until_compared(rollbook, name, correct=1, labelled=2)
        (counts,) = rollbook.endpoints.feedback(name).items
    assert answers[0][1] == np.float32(0.1)
    assert (counts.told, counts.unreadable) == (3, 1)
    assert "unreadable" in cli.told("feedback", name)
    assert "orphans" in cli.told("feedback")


def test_of_two_labels_the_one_that_came_last_counts_whatever_their_clocks_say(
    stack: RunningStack, local: Rollbook, name: str, tmp_path: Path
) -> None:
    model = LogisticRegression().fit(X, [3, 8])
    with local as rollbook:
        ((prediction_id, answer),) = answers_of(
            rollbook, name, model, datatype="INT64", directory=tmp_path, rows=(5.0,)
        )
        begun_ms = prediction_started_at_ms(prediction_id)
        assert begun_ms is not None
        words = [("3", begun_ms + 2_000), ("8", begun_ms)]

        asyncio.run(publish(stack.kafka_bootstrap, prediction_id, words, workspace="default"))

        until_compared(rollbook, name, correct=1, labelled=1)
        (counts,) = rollbook.endpoints.feedback(name).items
    assert answer == 8
    assert (counts.messages, counts.corrections) == (2, 1)


async def publish(bootstrap: str, prediction_id: str, words: list[tuple[str, int]], *, workspace: str) -> None:
    """Publish labels one after the other, each with the time at which some API's clock received it."""
    async with producer(KafkaConnection(bootstrap=bootstrap), client_id="test") as sending:
        for value, received_at_ms in words:
            told = Feedback(
                workspace=workspace,
                prediction_id=prediction_id,
                source="api",
                name="label",
                value=value,
                observed_at_ms=received_at_ms,
                received_at_ms=received_at_ms,
            )
            await sending.send_and_wait(FEEDBACK.name, key=prediction_id.encode(), value=msgspec.json.encode(told))
