"""What the judge asks: the counts of epochs' arms, up to a watermark. All that is asked at once is counted at once."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from projections.errors import BadQuery
from projections.measurement.statements import COUNTS, OF_OBSERVATIONS, Count
from projections.reading import Reader
from projections.rollups.reading import rolled_up
from projections.watermarks.queries import Marks, Scope, endpoint_watermarks_and_gateways
from projections.watermarks.watermark import combined
from schemas.documents.shared import shared
from schemas.measurement import Arm, Measured, MeasureEpoch, MeasureEpochOf, Watermark

_MAX_EPOCH = 2**31 - 1

# Questions by their number, and rows by the number and the arm.
Questions: TypeAlias = Mapping[int, MeasureEpochOf]
Counted: TypeAlias = Mapping[tuple[int, str], dict[str, Any]]


async def measure_epoch(reader: Reader, asked: MeasureEpoch, *, workspace: str, endpoint_id: str) -> Measured:
    """Count the arms of one epoch.

    Raises:
        BadQuery: no stream gets as long as the epoch says.
    """
    require_possible(asked)
    question = MeasureEpochOf(endpoint=endpoint_id, **msgspec.structs.asdict(asked))
    (measured,) = await measure_epochs(reader, [question], workspace=workspace)
    return measured


async def measure_epochs(reader: Reader, asked: Sequence[MeasureEpochOf], *, workspace: str) -> list[Measured]:
    """Count the arms of possible epochs, whose endpoints are given by id.

    The watermarks are read first: rows that arrive meanwhile are beyond them. Durations, numbers and tokens have a
    resolution of 0.8 %.
    """
    scopes = {_scope_of(question) for question in asked}
    (marks, gateways), until = await asyncio.gather(
        endpoint_watermarks_and_gateways(reader, ("requests", "observations"), workspace=workspace, scopes=scopes),
        rolled_up(reader),
    )
    by_mark = _by_mark(asked, marks)
    parameters = {**until, "workspace": workspace}
    counted = await asyncio.gather(*(_count(reader, questions, mark, parameters) for mark, questions in by_mark))
    measured = {
        number: _measured(mark, question, number, rows, gateways=gateways)
        for (mark, questions), rows in zip(by_mark, counted, strict=True)
        for number, question in questions.items()
    }
    return [measured[number] for number in range(len(asked))]


def require_possible(asked: MeasureEpoch) -> None:
    """Refuse an epoch that no stream reaches."""
    if not 0 <= asked.epoch <= _MAX_EPOCH:
        raise BadQuery(f"{asked.epoch} is not an epoch", field="epoch", remedy="take it from the endpoint's traffic")


def _by_mark(asked: Sequence[MeasureEpochOf], marks: Mapping[Scope, Marks]) -> list[tuple[Watermark, Questions]]:
    """Put questions together that have one watermark."""
    together: defaultdict[Watermark, dict[int, MeasureEpochOf]] = defaultdict(dict)
    for number, question in enumerate(asked):
        together[_mark_of(question, marks[_scope_of(question)])][number] = question
    return list(together.items())


def _scope_of(question: MeasureEpochOf) -> Scope:
    return Scope(question.endpoint, tuple(sorted(question.excused_regions)), question.epoch)


def _mark_of(question: MeasureEpochOf, marks: Marks) -> Watermark:
    """Return up to when all that is asked is there: only what counts observations waits for them."""
    requests = marks["requests"]
    waits = any(count.asks(question) is not None for count in OF_OBSERVATIONS)
    return combined([requests, marks["observations"]]) if waits and requests.freshness != "no_data" else requests


async def _count(reader: Reader, questions: Questions, mark: Watermark, parameters: Mapping[str, Any]) -> Counted:
    if mark.watermark_ms is None:
        return {}
    bound = {**parameters, "watermark_ms": mark.watermark_ms}
    found = await asyncio.gather(*(_select(reader, count, questions, bound) for count in COUNTS))
    merged: defaultdict[tuple[int, str], dict[str, Any]] = defaultdict(dict)
    for rows in found:
        for row in rows:
            merged[row.pop("question"), row.pop("arm")].update(row)
    return merged


async def _select(
    reader: Reader, count: Count, questions: Questions, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    columns: defaultdict[str, list[Any]] = defaultdict(list)
    for number, question in questions.items():
        own = count.asks(question)
        if own is None:
            continue
        columns["endpoint_ids"].append(question.endpoint)
        columns["epochs"].append(question.epoch)
        for name, value in (("question", number), ("candidate", question.candidate), ("baseline", question.baseline)):
            columns[name].append(value)
        for name, value in own.items():
            columns[name].append(value)
    return await reader.select(count.sql, {**parameters, **columns}) if columns else []


def _measured(
    mark: Watermark, question: MeasureEpochOf, number: int, counted: Counted, *, gateways: tuple[str, ...]
) -> Measured:
    return Measured(
        **shared(mark, Watermark),
        arms={arm: _arm(counted.get((number, arm), {})) for arm in (question.candidate, question.baseline)},
        gateways=gateways,
    )


def _arm(row: dict[str, Any]) -> Arm:
    p50, p95, p99 = row.get("latencies_ms", (None, None, None))
    counts = {name: count for name, count in row.items() if name in Arm.__struct_fields__}
    return Arm(**counts, p50_ms=p50, p95_ms=p95, p99_ms=p99)
