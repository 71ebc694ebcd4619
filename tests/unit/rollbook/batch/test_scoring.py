"""Rows that a model refuses are found among those that were sent with them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbook.batch.endpoint import Scored, ScoredEndpoint
from rollbook.batch.journal import Journal
from rollbook.batch.scoring import BatchJob, Options, job_of
from rollbook.batch.source import Source
from rollbook.inference.tensors import Array, TensorSpec
from rollbook.patient_gateway import Refused, TooLarge

ROWS = 300
SPEC = TensorSpec("x", "INT64", (-1,))


class Doubling(ScoredEndpoint):
    """Doubles what it is given, takes so many rows at a time, and refuses all of them for one that it does not like."""

    def __init__(self, *, max_rows: int, disliked: set[int]) -> None:
        super().__init__("http://nowhere", "doubling", mint=str, give_up_after_s=0)
        self._max_rows = max_rows
        self._disliked = disliked
        self.seen: list[int] = []

    async def inputs(self) -> list[TensorSpec]:
        return [SPEC]

    async def score(self, tensors: Mapping[str, Array], specs: Sequence[TensorSpec], *, rows: int) -> Scored:
        await asyncio.sleep(0)
        values = tensors[specs[0].name]
        if rows > self._max_rows:
            raise TooLarge("too large")
        if bad := self._disliked & set(values.tolist()):
            raise Refused(f"dislikes {min(bad)}")
        self.seen += values.tolist()
        return Scored({"double": 2 * values}, "doubling/1", "prediction", 0.1)


@settings(max_examples=30)
@given(st.integers(1, 2 * ROWS), st.sets(st.integers(0, ROWS - 1), max_size=12), st.integers(1, 5))
def test_only_the_rows_at_fault_are_rejected_and_each_other_is_scored_once(
    max_rows: int, disliked: set[int], in_flight: int
) -> None:
    endpoint = Doubling(max_rows=max_rows, disliked=disliked)

    with TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.parquet"
        pq.write_table(pa.table({"x": range(ROWS)}), source, row_group_size=110)
        rows, journal = Source(source), Journal(folder / "out.parquet", folder / "out.jsonl")
        options = Options(in_flight=in_flight)
        job = job_of(rows, gateway="", endpoint="", options=options)
        summary = asyncio.run(BatchJob(rows, journal, endpoint, options).run(job, tell=lambda _: None))
        found = pq.read_table(folder / "out.parquet")
        rejected = (folder / "out.jsonl").read_bytes().splitlines() if disliked else []

    good = [row for row in range(ROWS) if row not in disliked]
    assert found["row"].to_pylist() == good
    assert sorted(endpoint.seen) == good
    if good:
        assert found["double"].to_pylist() == [2 * row for row in good]
    assert [line.decode() for line in rejected] == [
        f'{{"row":{row},"reason":"dislikes {row}"}}' for row in sorted(disliked)
    ]
    assert (summary.scored, summary.rejected) == (len(good), len(disliked))
