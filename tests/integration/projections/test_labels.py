"""Labels beside answers, on the real engine: each data type has its own idea of what is the same value."""

import time

import ml_dtypes
import numpy as np
import pytest

from projections.measurement.queries import measure_epoch
from projections.quality.queries import quality_of_endpoint
from projections.quality.typed_text import spelled
from projections.reading import Reader
from projections.store import ClickHouseStore
from projections.views import projector_of
from schemas.measurement import MeasureEpoch
from schemas.topics import FEEDBACK, OBSERVATIONS, REQUESTS
from tests.integration.projections.conftest import sink_into
from tests.support.read_side_messages import (
    ENDPOINT,
    EPOCH,
    WORKSPACE,
    feedback_message,
    observation_row,
    observations,
    request_row,
    requests,
)

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


@pytest.mark.parametrize(("datatype", "answer", "label", "verdict"), PAIRS)
async def test_a_label_is_compared_as_a_value_of_the_answers_type(
    store: ClickHouseStore, reader: Reader, datatype: str, answer: str, label: str, verdict: str
) -> None:
    at_ms = time.time_ns() // 1_000_000 - 500
    answered = observation_row(1, started_at_ms=at_ms, prediction=answer, prediction_datatype=datatype)
    told = feedback_message(1, started_at_ms=at_ms, value=label, received_at_ms=at_ms + 1, offset=1)
    await sink_into(store, projector_of(REQUESTS)).consume(
        [requests([request_row(1, started_at_ms=at_ms)], at_ms=at_ms + 400)]
    )
    await sink_into(store, projector_of(OBSERVATIONS)).consume([observations([answered], at_ms=at_ms + 400)])
    await sink_into(store, projector_of(FEEDBACK)).consume([told])

    measured = await measure_epoch(reader, QUESTION, workspace=WORKSPACE, endpoint_id=ENDPOINT)
    quality = await quality_of_endpoint(
        reader, ENDPOINT, workspace=WORKSPACE, feedback_name="label", since_ms=at_ms - 60_000, bucket_ms=60_000
    )

    arm, (bucket,) = measured.arms["blue"], quality.items
    found = "unreadable" if bucket.unreadable else "right" if bucket.correct else "wrong"
    assert found == verdict
    assert (arm.labelled, arm.wrong) == {"unreadable": (0, 0), "right": (1, 0), "wrong": (1, 1)}[verdict]
    assert bucket.accuracy == {"unreadable": None, "right": 1, "wrong": 0}[verdict]


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
