"""Labels beside answers, on the real engine: each data type has its own idea of what is the same value."""

import shutil
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from infra.clickhouse.migrator import migrate
from projections.feedback_history.queries import feedback_on_endpoint
from projections.measurement.queries import measure_epoch
from projections.messages import Message
from projections.predictions.queries import who_served
from projections.quality.queries import quality_of_endpoint
from projections.quality.rows import FEEDBACK_ROWS
from projections.quality.typed_text import spelled
from projections.reading import Reader
from projections.store import ClickHouseStore
from projections.table_layout import bring_up_to_date, migration_folders
from projections.tables import assemble
from projections.views import projector_of
from schemas.events.registry import ModelVersionRegistered, Signature, Tensor
from schemas.measurement import Measured, MeasureEpoch
from schemas.topics import FEEDBACK, OBSERVATIONS, REGISTRY_EVENTS, REQUESTS
from tests.integration.projections.conftest import opened, sink_into
from tests.support.builders import ARTIFACT
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    WORKSPACE,
    event_message,
    feedback_message,
    observation_row,
    observations,
    prediction_id,
    request_row,
    requests,
)

AT_MS = time.time_ns() // 1_000_000 - 500
BEFORE_THE_ORDER_OF_THE_LOG = 23
BEFORE_THE_NAMES_OF_CLASSES = 26
QUESTION = MeasureEpoch(epoch=EPOCH, candidate="green", baseline="blue", feedback_name="label")
# Data type, answer as an engine writes it, label, and what the label is of the answer.
PAIRS = [
    ("BYTES", "01", "1", "wrong"),
    ("BYTES", "1", "1", "right"),
    ("BYTES", "cat", "cat ", "wrong"),
    ("BYTES", "", "", "right"),
    ("BYTES", "", "cat", "wrong"),
    ("INT64", "3", "3.0", "right"),
    ("INT64", "3", "03", "right"),
    ("INT64", "3", "3.5", "unreadable"),
    ("INT64", "3", "cat", "unreadable"),
    ("INT64", "0", "nan", "unreadable"),
    ("INT64", "9007199254740993", "9007199254740992", "wrong"),
    ("INT64", "9007199254740993", "9007199254740993", "right"),
    ("UINT64", "18446744073709551615", "18446744073709551615", "right"),
    ("UINT64", "1", "340282366920938463463374607431768211457", "unreadable"),
    ("UINT64", "18446744073709551615", "18446744073709551614", "wrong"),
    ("UINT8", "3", "-1", "unreadable"),
    ("UINT8", "255", "255", "right"),
    ("INT8", "3", "128", "unreadable"),
    ("INT8", "-128", "-128.0", "right"),
    ("FP32", "0.10000000149011612", "0.1", "right"),
    ("FP32", "0.10000000149011612", "0.1000001", "wrong"),
    ("FP32", "0.0", "-0", "right"),
    ("FP64", "0.1", "0.1", "right"),
    ("FP64", "0.1", "0.10000000149011612", "wrong"),
    ("FP64", "7.0", "7", "right"),
    ("FP16", "0.0999755859375", "0.1", "right"),
    ("FP16", "0.0999755859375", "0.101", "wrong"),
    ("FP16", "inf", "1000000", "right"),
    ("BF16", "0.10009765625", "0.1", "right"),
    ("BF16", "0.10009765625", "0.102", "wrong"),
    ("BOOL", "true", "1", "right"),
    ("BOOL", "true", "False", "wrong"),
    ("BOOL", "true", "yes", "unreadable"),
    # Records of before say no type.
    ("", "01", "1", "right"),
    ("", "7.0", "7", "right"),
    ("", "True", "true", "right"),
    ("", "cat", "dog", "wrong"),
]


def told(value: str, *, received_at_ms: int = AT_MS, offset: int = 1) -> Message:
    return feedback_message(1, started_at_ms=AT_MS, value=value, received_at_ms=received_at_ms, offset=offset)


async def serve_one(store: ClickHouseStore, *, answer: str, datatype: str = "INT64", other_name: str = "") -> None:
    request = request_row(1, started_at_ms=AT_MS)
    answered = observation_row(
        1, started_at_ms=AT_MS, prediction=answer, prediction_datatype=datatype, prediction_class=other_name
    )
    await sink_into(store, projector_of(REQUESTS)).consume([requests([request], at_ms=AT_MS + 400)])
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations([answered], at_ms=AT_MS + 400)])


async def measured(reader: Reader) -> Measured:
    return await measure_epoch(reader, QUESTION, workspace=WORKSPACE, endpoint_id=ENDPOINT)


@pytest.mark.parametrize(("datatype", "answer", "label", "verdict"), PAIRS)
async def test_a_label_is_compared_as_a_value_of_the_answers_type(
    store: ClickHouseStore, reader: Reader, datatype: str, answer: str, label: str, verdict: str
) -> None:
    await serve_one(store, answer=answer, datatype=datatype)
    await sink_into(store, projector_of(FEEDBACK)).consume([told(label)])

    found = await measured(reader)
    quality = await quality_of_endpoint(
        reader, ENDPOINT, workspace=WORKSPACE, feedback_name="label", since_ms=AT_MS - 60_000, bucket_ms=60_000
    )

    arm, (bucket,) = found.arms["blue"], quality.items
    assert (bucket.correct, bucket.unreadable) == (int(verdict == "right"), int(verdict == "unreadable"))
    assert (arm.labelled, arm.wrong) == {"unreadable": (0, 0), "right": (1, 0), "wrong": (1, 1)}[verdict]
    assert bucket.accuracy == {"unreadable": None, "right": 1, "wrong": 0}[verdict]


async def register(store: ClickHouseStore, *classes: str) -> None:
    """Register the version that answers, whose output names its classes."""
    labels = Tensor(name="label", datatype="INT64", shape=(-1,), classes=classes)
    registered = ModelVersionRegistered(
        model_id="model-1",
        model_name="pets",
        number=1,
        artifact=ARTIFACT,
        signature=Signature(inputs=(), outputs=(labels,)),
        golden=None,
        parameters={},
        metrics={},
        tags={},
    )
    message = event_message(registered, stream="version-1", version=1, position=1, at_ms=AT_MS - 60_000)
    await sink_into(store, projector_of(REGISTRY_EVENTS)).consume([message])


EARLIER_REGISTRATION = """
    INSERT INTO domain_events (position, type, workspace, stream, event) VALUES (
        1, 'registry.ModelVersionRegistered.v1', 'default', 'version-1',
        '{"data": {"signature": {"inputs": [], "outputs": [{"name": "label", "classes": ["cat", "dog"]}]}}}'
    )
"""
INDEX, NAME = ("INT64", "1", "dog"), ("BYTES", "dog", "1")
# An answer that is a class, a label, and what it is where it is known what the classes are called, and where it is not.
CLASS_LABELS = [
    (INDEX, "dog", ("right", "right")),
    (INDEX, "1", ("right", "right")),
    (INDEX, "1.0", ("right", "right")),
    (INDEX, "cat", ("wrong", "wrong")),
    (INDEX, "0", ("wrong", "wrong")),
    (INDEX, "Dog", ("unreadable", "wrong")),
    (INDEX, "2", ("unreadable", "wrong")),
    (INDEX, "-1", ("unreadable", "wrong")),
    (INDEX, "", ("unreadable", "wrong")),
    (NAME, "1", ("right", "right")),
    (NAME, "dog", ("right", "right")),
    (NAME, "cat", ("wrong", "wrong")),
    (NAME, "0", ("wrong", "wrong")),
    (NAME, "Dog", ("unreadable", "wrong")),
    (NAME, "01", ("unreadable", "wrong")),
    (NAME, "2", ("unreadable", "wrong")),
]


@pytest.mark.parametrize(("answered", "label", "verdicts"), CLASS_LABELS)
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_class_may_be_called_by_its_name_or_its_index_and_by_nothing_else(
    store: ClickHouseStore,
    reader: Reader,
    answered: tuple[str, str, str],
    label: str,
    verdicts: tuple[str, str],
    *,
    is_known: bool,
) -> None:
    datatype, answer, other_name = answered
    if is_known:
        await register(store, "cat", "dog")
    await serve_one(store, answer=answer, datatype=datatype, other_name=other_name)
    await sink_into(store, projector_of(FEEDBACK)).consume([told(label)])

    arm = (await measured(reader)).arms["blue"]
    (feedback,) = (await feedback_on_endpoint(reader, ENDPOINT, workspace=WORKSPACE, since_ms=None)).items

    verdict = verdicts[0] if is_known else verdicts[1]
    assert (arm.labelled, arm.wrong) == {"unreadable": (0, 0), "right": (1, 0), "wrong": (1, 1)}[verdict]
    assert feedback.labels == (verdict != "unreadable")
    assert feedback.unreadable == (verdict == "unreadable" and not feedback.numbers)


async def test_a_label_of_a_class_is_not_compared_with_the_classes_of_another_version(
    store: ClickHouseStore, reader: Reader
) -> None:
    await register(store, "cat", "dog")
    await serve_one(store, answer="3", datatype="INT64")
    await sink_into(store, projector_of(FEEDBACK)).consume([told("7")])

    arm = (await measured(reader)).arms["blue"]

    # No class of these is the answer: it is a number, as the label is.
    assert (arm.labelled, arm.wrong) == (1, 1)


async def test_versions_that_were_registered_before_an_upgrade_have_their_classes(
    fresh_database: str, tmp_path: Path
) -> None:
    for file in (file for folder in migration_folders() for file in folder.glob("*.sql")):
        if int(file.name[:4]) <= BEFORE_THE_NAMES_OF_CLASSES:
            shutil.copy(file, tmp_path)
    async with opened(fresh_database) as store:
        await store.run(lambda client: migrate(client, [tmp_path]))
        await store.command(EARLIER_REGISTRATION)

        await bring_up_to_date(store)

        rows = await store.select("SELECT workspace, version_id, classes FROM class_names FINAL")
    assert rows == [{"workspace": "default", "version_id": "version-1", "classes": ["cat", "dog"]}]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
async def test_floats_have_one_spelling_for_each_number_of_their_type(store: ClickHouseStore, datatype: str) -> None:
    chance = np.random.default_rng(17)
    scale = 10.0 ** chance.integers(-9, 6, size=2_000)
    numbers = chance.uniform(-1, 1, size=2_000) * scale
    if datatype == "BF16":
        # NumPy gets there by way of FP32, and so rounds twice.
        numbers = numbers.astype(np.float32).astype(np.float64)
    kind = {"FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64}[datatype]
    with np.errstate(over="ignore"):
        expected = numbers.astype(kind)

    texts = [repr(float(number)) for number in numbers]
    rows = await store.select(
        f"SELECT {spelled('text', '{datatype:String}')} AS spelling FROM "  # noqa: S608  our own expression
        "(SELECT arrayJoin({texts:Array(String)}) AS text)",
        {"datatype": datatype, "texts": texts},
    )

    spellings = [row["spelling"] for row in rows]
    assert np.array(spellings, dtype=np.float64).astype(kind).tolist() == expected.tolist()
    assert len(set(spellings)) == len(set(expected.tolist()))


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT64", "BOOL"])
async def test_an_answer_that_is_no_value_of_its_type_is_kept_and_wrong(
    store: ClickHouseStore, reader: Reader, datatype: str
) -> None:
    """External servers may answer anything, and no row of theirs may stop the others."""
    await serve_one(store, answer="cat", datatype=datatype)
    await sink_into(store, projector_of(FEEDBACK)).consume([told("1")])

    arm = (await measured(reader)).arms["blue"]

    assert (arm.labelled, arm.wrong) == (1, 1)


async def test_the_table_spells_answers_as_the_comparison_spells_labels(store: ClickHouseStore) -> None:
    at_ms = time.time_ns() // 1_000_000
    answers = {(datatype, answer) for datatype, answer, _, _ in PAIRS}
    rows = [
        observation_row(number, started_at_ms=at_ms, prediction=answer, prediction_datatype=datatype)
        for number, (datatype, answer) in enumerate(sorted(answers))
    ]
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations(rows, at_ms=at_ms)])

    found = await store.select(
        f"SELECT answer, {spelled('prediction', 'prediction_datatype')} AS spelling FROM observation_records"  # noqa: S608
    )

    assert len(found) == len(answers)
    assert all(row["answer"] == row["spelling"] for row in found), found


@pytest.mark.parametrize("is_repeated", [False, True])
async def test_the_last_word_is_the_last_one_in_the_log_whatever_clocks_say(
    store: ClickHouseStore, reader: Reader, *, is_repeated: bool
) -> None:
    sink = sink_into(store, projector_of(FEEDBACK))
    words = [told("3", received_at_ms=AT_MS + 2_000, offset=7), told("8", received_at_ms=AT_MS, offset=8)]
    await serve_one(store, answer="8")
    await sink.consume(words)
    if is_repeated:
        await sink_into(store, projector_of(FEEDBACK)).consume(words[:1])
        await store.command("OPTIMIZE TABLE feedback FINAL")

    arm = (await measured(reader)).arms["blue"]
    provenance = await who_served(reader, prediction_id(AT_MS, 1), workspace=WORKSPACE)

    assert (arm.labelled, arm.wrong) == (1, 0)
    assert [known.value for known in provenance.feedback] == ["8"]


async def test_what_is_said_after_a_topic_was_made_anew_is_said_last(store: ClickHouseStore, reader: Reader) -> None:
    await serve_one(store, answer="8")
    await sink_into(store, projector_of(FEEDBACK)).consume([told("3", received_at_ms=AT_MS + 2_000, offset=700)])
    await sink_into(store, projector_of(FEEDBACK), generation=1).consume([told("8", received_at_ms=AT_MS, offset=0)])

    arm = (await measured(reader)).arms["blue"]

    assert (arm.labelled, arm.wrong) == (1, 0)


async def test_what_was_said_before_an_upgrade_was_said_before(fresh_database: str, tmp_path: Path) -> None:
    for file in (file for folder in migration_folders() for file in folder.glob("*.sql")):
        if int(file.name[:4]) <= BEFORE_THE_ORDER_OF_THE_LOG:
            shutil.copy(file, tmp_path)
    earlier, later = told("3", received_at_ms=AT_MS + 2_000, offset=700), told("8", offset=701)
    ((_, block),) = assemble([FEEDBACK_ROWS], list(projector_of(FEEDBACK).project(earlier)))
    async with opened(fresh_database) as store:
        await store.run(lambda client: migrate(client, [tmp_path]))
        await store.insert("feedback", block.drop_columns("kafka_generation"), token="before")

        await bring_up_to_date(store)
        await sink_into(store, projector_of(FEEDBACK)).consume([later])

        values = [row["value"] for row in await store.select("SELECT value FROM feedback FINAL")]
    assert values == ["8"]
