"""What it costs to summarise captured requests: the projector alone, on one core, from a decoded batch to its rows.

Batches have the form that agents ship, and 50 numeric features: as one tensor of 50 columns, flat or nested, or as 50
tensors. Further batches are of embeddings and of texts. JSON is decoded in the measured time.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.figures import Figure, Goal, at_least, at_most
from projections.feature_summaries.rows import summary_rows
from projections.feeds.batches import OBSERVATION_BATCHES
from projections.messages import Message
from schemas.observations import BatchHeaders
from schemas.topics import OBSERVATIONS
from serving.capture.records import ObservationRecord
from workers.serving_agent.observation_batches import encode_rows
from workers.serving_agent.spool_sources import SpoolSource

_FEATURES = 50
_DIMENSIONS = 768
_BATCH_ROWS = (500, 20)
_SECONDS = 1.5
_SECONDS_FULL = 10.0
_BEGAN_MS = 1_800_000_000_000
_MAX_US = 2.0

Tensors = Mapping[str, Any]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of requests, how many scalars a request has, and how many requests a second are to be summarised."""

    name: str
    inputs: Callable[[np.random.Generator], Tensors]
    scalars: int
    goal: Goal | None = None


def _numbers(values: list[Any], shape: Sequence[int]) -> dict[str, Any]:
    return {"datatype": "FP64", "shape": list(shape), "data": values}


def _flat(chance: np.random.Generator) -> Tensors:
    return {"x": _numbers(chance.normal(size=_FEATURES).tolist(), (1, _FEATURES))}


def _nested(chance: np.random.Generator) -> Tensors:
    return {"x": _numbers([chance.normal(size=_FEATURES).tolist()], (1, _FEATURES))}


def _apart(chance: np.random.Generator) -> Tensors:
    values = chance.normal(size=_FEATURES).tolist()
    return {f"feature_{number}": _numbers([value], (1, 1)) for number, value in enumerate(values)}


def _embedding(chance: np.random.Generator) -> Tensors:
    return {"x": _numbers(chance.normal(size=_DIMENSIONS).tolist(), (1, _DIMENSIONS))}


def _texts(chance: np.random.Generator) -> Tensors:
    words = [f"word {number}" for number in chance.integers(1_000, size=10).tolist()]
    return {"x": {"datatype": "BYTES", "shape": [1, 10], "data": words}}


_LOADS = (
    Load(name="50 columns", inputs=_flat, scalars=_FEATURES, goal=at_least(10_000)),
    Load(name="50 columns, nested", inputs=_nested, scalars=_FEATURES, goal=at_least(10_000)),
    Load(name="50 tensors", inputs=_apart, scalars=_FEATURES, goal=at_least(10_000)),
    Load(name="an embedding of 768", inputs=_embedding, scalars=_DIMENSIONS),
    Load(name="10 texts", inputs=_texts, scalars=10),
)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Summarise each kind of batch again and again."""
    for load in _LOADS:
        for rows in _BATCH_ROWS:
            yield _figures(load, rows=rows, seconds=_SECONDS_FULL if full else _SECONDS)


def _figures(load: Load, *, rows: int, seconds: float) -> list[Figure]:
    message = _message(load, rows=rows)
    batch = OBSERVATION_BATCHES.decode(message)
    features = len(summary_rows(batch, message))
    began, times = time.process_time(), 0
    while (took := time.process_time() - began) < seconds:
        summary_rows(batch, message)
        times += 1
    each_s = took / (times * rows)
    is_large = rows == _BATCH_ROWS[0]
    prefix = f"{load.name}, {rows} requests"
    return [
        Figure(
            name=f"{prefix}: requests summarised",
            value=1 / each_s,
            unit="/s",
            goal=load.goal if is_large else None,
            note=f"{times * rows:,} requests, {features} rows a batch",
        ),
        Figure(
            name=f"{prefix}: CPU a scalar",
            value=1e6 * each_s / load.scalars,
            unit="µs",
            goal=at_most(_MAX_US) if is_large and load.goal else None,
        ),
    ]


def _message(load: Load, *, rows: int) -> Message:
    chance = np.random.default_rng(1)
    source = SpoolSource(
        workspace="default",
        endpoint_id="endpoint-measured",
        deployment_id="deployment-measured",
        version_id="version-1",
        instance_id="instance-1",
        boot_id="boot-1",
    )
    records = [
        ObservationRecord(
            prediction_id=f"{_BEGAN_MS}-{number}",
            captured_at_ms=_BEGAN_MS + number,
            status=200,
            engine_ms=1.0,
            prediction="0.5",
            inputs=json.dumps(load.inputs(chance)),
            outputs=json.dumps({"score": _numbers([chance.random()], (1,))}),
        )
        for number in range(rows)
    ]
    headers = BatchHeaders(
        source="boot-1", kind="observations", region="local", batch=0, rows=rows, closed_until_ms=0, state="open"
    )
    return Message(
        topic=OBSERVATIONS.name,
        partition=0,
        offset=0,
        timestamp_ms=_BEGAN_MS,
        key=b"boot-1",
        value=encode_rows(source, records, batch=0),
        headers=tuple(headers.as_kafka()),
    )
