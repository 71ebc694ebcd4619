"""A Parquet file scored by `rollbook batch score`, and by a script that calls `predict` itself, in turn.

Both are whole commands, from the start of their interpreter to the synced output. The script reads, predicts and writes
as many rows at a time as the client does. Ours goes through the gateway, and records who answered each row.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from benchmarks.digits import eventually
from benchmarks.figures import Figure, at_least, quantile
from benchmarks.programs import new_folder
from benchmarks.stack import Stack, running_stack
from rollbook import Rollbook
from rollbook_demo.models import PIXELS, SIGNATURE, read_digits

_GOAL = 0.7
_ROUNDS, _ROUNDS_FULL = 2, 5
_SCORED_WITHIN_S = 600


class Model(msgspec.Struct, frozen=True):
    """A classifier, and how many rows keep it busy for some seconds."""

    name: str
    classifier: Any
    rows: int


_MODELS = (
    Model("naive-bayes", GaussianNB(), 500_000),
    Model("support-vectors", SVC(), 100_000),
)


def measure(*, full: bool) -> Iterator[list[Figure]]:
    """Score each model's rows both ways."""
    with new_folder() as folder, running_stack() as stack, stack.client() as rollbook:
        for model in _MODELS:
            paths = _Paths(folder / f"{model.name}.skops", folder / f"{model.name}.parquet", folder / "out.parquet")
            _prepare(rollbook, model, paths)
            ours, plain = [], []
            for _ in range(_ROUNDS_FULL if full else _ROUNDS):
                plain.append(_rows_per_s(model, _plain_command(paths)))
                ours.append(_rows_per_s(model, _our_command(stack, model, paths)))
            yield _figures(model, ours, plain)


class _Paths(msgspec.Struct, frozen=True):
    model: Path
    rows: Path
    output: Path


def _prepare(rollbook: Rollbook, model: Model, paths: _Paths) -> None:
    digits = read_digits()
    model.classifier.fit(digits.train_images, digits.train_labels)
    skops.io.dump(model.classifier, paths.model)
    rows = np.resize(digits.live_images, (model.rows, PIXELS))
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), PIXELS)
    pq.write_table(pa.table({"pixels": column}), paths.rows, row_group_size=65_536)
    rollbook.models.register(model.name)
    version = rollbook.versions.register(model.name, paths.model, signature=SIGNATURE)
    rollbook.endpoints.create(model.name, version=version.reference)
    eventually(lambda: rollbook.endpoints.get(model.name).deployments[0].state == "ready")


def _our_command(stack: Stack, model: Model, paths: _Paths) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("rollbook")), "--data-dir", str(stack.data_dir)),
        *("batch", "score", model.name),
        *("--input", str(paths.rows), "--output", str(paths.output), "--overwrite"),
    ]


def _plain_command(paths: _Paths) -> list[str]:
    script = Path(__file__).with_name("plain_predict.py")
    return [sys.executable, str(script), str(paths.model), str(paths.rows), str(paths.output)]


def _rows_per_s(model: Model, command: list[str]) -> float:
    began = time.monotonic()
    # One process is one core: without this, NumPy's threads would take the other.
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, timeout=_SCORED_WITHIN_S, env=environ)
    return model.rows / (time.monotonic() - began)


def _figures(model: Model, ours: list[float], plain: list[float]) -> list[Figure]:
    note = f"{len(ours)} runs of {model.rows:,} rows each"
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    return [
        Figure(name=f"{model.name}: `predict` in one process", value=quantile(plain, 0.5), unit="rows/s", note=note),
        Figure(name=f"{model.name}: `rollbook batch score`", value=quantile(ours, 0.5), unit="rows/s", note=note),
        Figure(
            name=f"{model.name}: batch to plain",
            value=quantile(ratios, 0.5),
            unit="x",
            goal=at_least(_GOAL),
            note=f"{min(ratios):.2f} to {max(ratios):.2f}",
        ),
    ]
