"""Files scored against a real runtime: every type, every row once, and the bad ones apart."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from rollbook.batch.endpoint import ScoredEndpoint
from rollbook.batch.journal import Journal
from rollbook.batch.scoring import BatchJob, Options, Summary, job_of, rejected_file_of
from rollbook.batch.source import CHUNK_ROWS, Source
from rollbook.errors import GaveUp
from serving.runtime.manifest import ARTIFACT_NAME, write_manifest
from tests.support import echo_model
from tests.support.digits import digits, trained
from tests.support.engine_process import EngineProcess, running, write_model
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.sklearn_models import signature_of

ARROW = {"UINT64": pa.uint64()}
"""What Arrow would not guess."""


class Killed(Exception):
    pass


def score(
    many: EngineProcess,
    table: pa.Table,
    folder: Path,
    *,
    endpoint: str = "digits",
    options: Options | None = None,
    tell: Callable[[Summary], None] = lambda _: None,
) -> tuple[Summary, list[dict[str, object]]]:
    """Score a table; return the summary and what the output holds but the answers' ids."""
    source = folder / "in.parquet"
    pq.write_table(table, source)
    chosen = options or Options()

    async def run() -> Summary:
        rows = Source(source)
        journal = Journal(folder / "out.parquet", rejected_file_of(folder / "out.parquet"))
        asked = ScoredEndpoint(many.url, endpoint, mint=lambda: "token", give_up_after_s=20)
        try:
            job = job_of(rows, gateway=many.url, endpoint=endpoint, options=chosen)
            return await BatchJob(rows, journal, asked, chosen).run(job, tell=tell)
        finally:
            await asked.close()

    summary = asyncio.run(run())
    found = pq.read_table(folder / "out.parquet").drop_columns(["prediction_id", "model_version"])
    return summary, found.to_pylist()


def pixels(rows: int) -> np.ndarray:
    images = digits()[0]
    return np.resize(images, (rows, images.shape[1])).astype(np.float32)


def as_lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def test_every_row_of_several_chunks_is_answered_as_the_model_answers_it(many: EngineProcess, tmp_path: Path) -> None:
    rows = pixels(CHUNK_ROWS + 100)

    summary, found = score(many, pa.table({"pixels": as_lists(rows)}), tmp_path)

    assert (summary.rows, summary.scored, summary.rejected) == (len(rows), len(rows), 0)
    assert [each["row"] for each in found] == list(range(len(rows)))
    assert [each["label"] for each in found] == trained().predict(rows).tolist()


def test_values_of_every_type_come_back_as_they_were(many: EngineProcess, tmp_path: Path) -> None:
    httpx.post(f"{many.url}/v2/repository/models/echo/load", timeout=180, verify=NO_AUTHORITIES).raise_for_status()
    rows = {f"in_{name}": pa.array(values, ARROW.get(name)) for name, (_, values) in echo_model.TYPES.items()}

    summary, found = score(many, pa.table(rows), tmp_path, endpoint="echo")

    assert summary.scored == 2
    for place, row in enumerate(found):
        assert row == {
            "row": place,
            **{f"out_{name}": [values[place]] for name, (_, values) in echo_model.TYPES.items()},
        }


def test_rows_that_are_no_tensors_are_apart_with_the_reason_and_the_others_scored(
    many: EngineProcess, tmp_path: Path
) -> None:
    rows: list[list[float] | None] = pixels(50).tolist()
    rows[7], rows[9] = None, [1.0]
    table = pa.table({"pixels": pa.array(rows, pa.list_(pa.float32())), "order": pa.array(range(50))})

    summary, found = score(many, table, tmp_path, options=Options(kept=("order",)))

    assert (summary.scored, summary.rejected) == (48, 2)
    assert [each["row"] for each in found] == [each["order"] for each in found]
    assert {each["row"] for each in found} == set(range(50)) - {7, 9}
    assert [msgspec.json.decode(line) for line in Path(str(summary.rejected_file)).read_bytes().splitlines()] == [
        {"row": 7, "reason": "column 'pixels' is missing"},
        {"row": 9, "reason": "column 'pixels' has 1 values where the input 'pixels' takes 64"},
    ]


def test_a_null_is_scored_where_the_signature_allows_missing_values(tmp_path: Path) -> None:
    known = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]] * 4)
    model = make_pipeline(SimpleImputer(), LinearRegression()).fit(known, known.sum(axis=1))
    manifest = write_model(tmp_path / "model", artifact_format="skops")
    skops.io.dump(model, tmp_path / "model" / ARTIFACT_NAME)
    signature = signature_of("known:FP64:-1x2:missing", "value:FP64:-1")
    write_manifest(tmp_path / "model", msgspec.structs.replace(manifest, signature=signature))
    rows: list[list[float | None] | None] = [[1.0, None], [None, None], None, [3.0, 4.0]]

    with running(tmp_path) as engine:
        table = pa.table({"known": pa.array(rows, pa.list_(pa.float64()))})
        summary, found = score(engine, table, tmp_path)

    assert (summary.scored, summary.rejected) == (3, 1)
    assert [each["row"] for each in found] == [0, 1, 3]
    expected = model.predict([[1.0, np.nan], [np.nan, np.nan], [3.0, 4.0]])
    assert [each["value"] for each in found] == pytest.approx(expected.tolist())


def test_a_file_without_rows_makes_an_output_without_rows(many: EngineProcess, tmp_path: Path) -> None:
    nothing = pa.table({"pixels": pa.array([], pa.list_(pa.float32()))})

    summary, found = score(many, nothing, tmp_path)

    assert (summary.rows, summary.scored, found) == (0, 0, [])


def test_a_run_that_failed_half_way_goes_on_and_asks_for_nothing_twice(many: EngineProcess, tmp_path: Path) -> None:
    table = pa.table({"pixels": as_lists(pixels(2 * CHUNK_ROWS))})

    def die_after_the_first(summary: Summary) -> None:
        if summary.scored:
            raise Killed

    with pytest.raises(Killed):
        score(many, table, tmp_path, options=Options(in_flight=1), tell=die_after_the_first)

    summary, found = score(many, table, tmp_path)

    assert summary.resumed == CHUNK_ROWS
    assert [each["row"] for each in found] == list(range(2 * CHUNK_ROWS))


def test_an_endpoint_that_is_not_there_is_said_at_once(many: EngineProcess, tmp_path: Path) -> None:
    with pytest.raises(GaveUp, match="404"):
        score(many, pa.table({"pixels": as_lists(pixels(1))}), tmp_path, endpoint="nobody")
