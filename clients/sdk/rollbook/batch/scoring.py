"""A batch job: every row of a Parquet file scored once, by however many tries and restarts it takes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from rollbook.batch.endpoint import ScoredEndpoint
from rollbook.batch.errors import BadInput
from rollbook.batch.journal import Job, Journal, Rejected
from rollbook.batch.source import Chunk, Source
from rollbook.batch.tensors import Columns, as_column, columns_for, prepare
from rollbook.inference.tensors import Array, TensorSpec
from rollbook.patient_gateway import Refused, TooLarge
from rollbook.side_by_side import work_on_each

ROW, VERSION, PREDICTION_ID = "row", "model_version", "prediction_id"
_QUICK_S, _SLOW_S = 0.05, 0.2
_FIRST_ROWS = 256
_MAX_REQUEST_BYTES = 4 * 1024**2


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is scored. `columns` names the columns of inputs, `kept` those that the output has too."""

    columns: Mapping[str, tuple[str, ...]] = {}
    kept: tuple[str, ...] = ()
    in_flight: int = 4
    overwrite: bool = False


class Summary(msgspec.Struct, kw_only=True):
    """What came of it; `resumed` rows were done before. `versions` counts the rows of this run that each answered."""

    rows: int
    scored: int = 0
    rejected: int = 0
    resumed: int = 0
    output: str = ""
    rejected_file: str | None = None
    versions: dict[str, int] = {}


class _Answered(msgspec.Struct, frozen=True):
    places: Array
    outputs: dict[str, Array]
    version: str
    prediction_id: str


class _Outcome(msgspec.Struct):
    answered: list[_Answered] = []
    refused: dict[int, str] = {}


class BatchJob:
    """One run; a second one with the same journal goes on where the first was ended.

    Raises:
        BatchError, GaveUp: in each method, with what to do about it.
    """

    def __init__(self, source: Source, journal: Journal, endpoint: ScoredEndpoint, options: Options) -> None:
        self._source = source
        self._journal = journal
        self._endpoint = endpoint
        self._options = options
        self._rows = _FIRST_ROWS
        self._versions: Counter[str] = Counter()

    async def run(self, job: Job, *, tell: Callable[[Summary], None]) -> Summary:
        """Score what is not done yet, and make the output; `tell` hears of each chunk."""
        _check_names(self._options.kept, self._source.schema)
        tensors = await self._endpoint.inputs()
        columns = columns_for(
            tensors, self._source.schema, chosen=self._options.columns, kept=(*self._options.kept, ROW)
        )
        chunks = list(self._source.chunks())
        self._journal.begin(job, overwrite=self._options.overwrite)
        done = self._journal.done()
        summary = Summary(rows=self._source.rows, output=str(self._journal.output))
        summary.scored, summary.rejected = (sum(counts[index] for counts in done.values()) for index in (0, 1))
        summary.resumed = summary.scored + summary.rejected
        tell(summary)
        await self._score_all([chunk for chunk in chunks if chunk.number not in done], columns, summary, tell)
        if not chunks:
            nothing = Chunk(number=0, group=0, offset=0, rows=0, first_row=0)
            self._journal.keep(0, self._table(self._source.schema.empty_table(), nothing, _Outcome()), [])
        await asyncio.to_thread(self._journal.finish, max(1, len(chunks)))
        summary.versions = dict(self._versions)
        summary.rejected_file = str(self._journal.rejected) if summary.rejected else None
        return summary

    async def _score_all(
        self, chunks: Sequence[Chunk], columns: Sequence[Columns], summary: Summary, tell: Callable[[Summary], None]
    ) -> None:
        async def score(chunk: Chunk) -> None:
            scored, rejected = await self._score_chunk(chunk, columns)
            summary.scored += scored
            summary.rejected += rejected
            tell(summary)

        await work_on_each(chunks, score, at_once=self._options.in_flight)

    async def _score_chunk(self, chunk: Chunk, columns: Sequence[Columns]) -> tuple[int, int]:
        names = tuple(dict.fromkeys([*self._options.kept, *(name for each in columns for name in each.names)]))
        table = self._source.read(chunk, names)
        prepared = await asyncio.to_thread(prepare, table, columns)
        outcome = _Outcome(refused=dict(prepared.refused))
        specs, begin = [each.tensor for each in columns], 0
        while begin < len(prepared.places):
            places = prepared.places[begin : begin + self._rows]
            tensors = {name: values[begin : begin + self._rows] for name, values in prepared.tensors.items()}
            begin += len(places)
            await self._score_rows(places, tensors, specs, outcome)
        scored = self._table(table, chunk, outcome)
        rejected = [Rejected(chunk.first_row + place, outcome.refused[place]) for place in sorted(outcome.refused)]
        await asyncio.to_thread(self._journal.keep, chunk.number, scored, rejected)
        for each in outcome.answered:
            self._versions[each.version] += len(each.places)
        return len(scored), len(rejected)

    async def _score_rows(
        self, places: Array, tensors: Mapping[str, Array], specs: Sequence[TensorSpec], outcome: _Outcome
    ) -> None:
        """Score rows together; where some are refused, the halves apart, until those that are at fault are alone."""
        try:
            answer = await self._endpoint.score(tensors, specs, rows=len(places))
        except (Refused, TooLarge) as error:
            if len(places) == 1:
                outcome.refused[int(places[0])] = str(error)
                return
            if isinstance(error, TooLarge):
                self._rows = max(1, len(places) // 2)
            middle = len(places) // 2
            for half in (slice(None, middle), slice(middle, None)):
                parts = {name: values[half] for name, values in tensors.items()}
                await self._score_rows(places[half], parts, specs, outcome)
            return
        outcome.answered.append(_Answered(places, answer.outputs, answer.version, answer.prediction_id))
        self._learn(len(places), answer.took_s, sum(values.nbytes for values in tensors.values()))

    def _learn(self, rows: int, took_s: float, size: int) -> None:
        """Send as many rows at a time as are answered soon, so that no one waits long behind them."""
        if took_s > _SLOW_S:
            self._rows = max(1, min(self._rows, rows // 2))
        elif took_s < _QUICK_S and rows >= self._rows and 2 * size <= _MAX_REQUEST_BYTES:
            self._rows = 2 * rows

    def _table(self, table: pa.Table, chunk: Chunk, outcome: _Outcome) -> pa.Table:
        answered = outcome.answered
        places = np.concatenate([each.places for each in answered]) if answered else np.empty(0, np.int64)
        order = np.argsort(places, kind="stable")
        columns: dict[str, pa.Array | pa.ChunkedArray] = {ROW: pa.array(places + chunk.first_row, pa.int64())}
        columns |= {name: table.column(name).take(pa.array(places)) for name in self._options.kept}
        for name in answered[0].outputs if answered else ():
            columns[name] = pa.concat_arrays([as_column(each.outputs[name]) for each in answered])
        repeats = [len(each.places) for each in answered]
        for name, values in (
            (VERSION, [each.version for each in answered]),
            (PREDICTION_ID, [each.prediction_id for each in answered]),
        ):
            columns[name] = pa.array(np.repeat(np.array(values, object), repeats), pa.string())
        return pa.table(columns).take(pa.array(order))


def job_of(source: Source, *, gateway: str, endpoint: str, options: Options) -> Job:
    """Return what identifies a job; reads the whole file once."""
    return Job(
        input_digest=source.digest(),
        gateway=gateway,
        endpoint=endpoint,
        columns=dict(options.columns),
        kept=options.kept,
    )


def rejected_file_of(output: Path) -> Path:
    """Return where rows without a prediction are written."""
    return output.with_name(f"{output.stem}.rejected.jsonl")


def _check_names(kept: Sequence[str], schema: pa.Schema) -> None:
    for name in kept:
        if name not in schema.names:
            raise BadInput(f"the file has no column {name!r} to keep; it has {', '.join(schema.names)}")
        if name in {ROW, VERSION, PREDICTION_ID}:
            raise BadInput(f"the output has a column {name!r} of its own; rename the one to keep")
