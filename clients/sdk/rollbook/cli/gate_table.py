"""The gates of a decision as a table that fits the terminal."""

import textwrap
from collections.abc import Sequence
from typing import TypeAlias

from rollbook.gate_rows import GateRow, explanations, gate_rows, level_of
from rollbook.resources import Verdict

_GAP = "  "
_MIN_TEXT_WIDTH, _WRAPPED_VERDICT = 12, 10
Cell: TypeAlias = list[str]


def gate_lines(verdicts: Sequence[Verdict], *, width: int) -> list[str]:
    """Return the table, with more lines a gate where one is too long, and below it what the rows do not show."""
    rows, level = gate_rows(verdicts), f"{level_of(verdicts)} interval"
    table = _one_line_each(rows, level, width) or _two_lines_each(rows, level, width) or _blocks(rows, level)
    told = [line for sentence in explanations(verdicts) for line in textwrap.wrap(sentence, width)]
    return [*table, *([""] if told else []), *told]


def _one_line_each(rows: Sequence[GateRow], level: str, width: int) -> list[str]:
    columns: tuple[tuple[str, list[str]], ...] = (
        ("candidate", [row.candidate for row in rows]),
        ("", [row.candidate_count for row in rows]),
        ("baseline", [row.baseline for row in rows]),
        ("", [row.baseline_count for row in rows]),
        ("points", [row.difference for row in rows]),
        (level, [row.interval for row in rows]),
        ("allowed", [row.allowed for row in rows]),
        ("verdict", [row.outcome for row in rows]),
    )
    cells = [[[header], *([text] for text in texts)] for header, texts in columns]
    compared = [row.compared for row in rows]
    return _aligned(compared, cells, width=width, least=max(map(len, compared)))


def _two_lines_each(rows: Sequence[GateRow], level: str, width: int) -> list[str]:
    cells: list[list[Cell]] = [
        [["candidate"], *([row.candidate, row.candidate_count] for row in rows)],
        [["baseline"], *([row.baseline, row.baseline_count] for row in rows)],
        [["points", level], *([row.difference, row.interval] for row in rows)],
        [["allowed"], *([row.allowed] for row in rows)],
        [["verdict"], *(textwrap.wrap(row.outcome, _WRAPPED_VERDICT) for row in rows)],
    ]
    return _aligned([row.compared for row in rows], cells, width=width, least=_MIN_TEXT_WIDTH)


def _blocks(rows: Sequence[GateRow], level: str) -> list[str]:
    return [
        line
        for row in rows
        for line in (
            f"{row.compared}: {row.outcome}",
            f"{_GAP}candidate  {row.candidate}  {row.candidate_count}",
            f"{_GAP}baseline   {row.baseline}  {row.baseline_count}",
            f"{_GAP}points     {row.difference}, {row.allowed} allowed",
            f"{_GAP}{level}  {row.interval}",
        )
    ]


def _aligned(compared: Sequence[str], columns: Sequence[Sequence[Cell]], *, width: int, least: int) -> list[str]:
    """Put numbers below each other at their right, and wrap what was compared into the rest of the width.

    The verdict is the last column. Nothing is returned if less than `least` is left for what was compared.
    """
    widths = [max(len(line) for cell in column for line in cell) for column in columns]
    left = min(width - sum(widths) - len(_GAP) * len(widths), max(map(len, ("compared", *compared))))
    if left < least:
        return []
    texts = [["compared"], *(textwrap.wrap(text, left) for text in compared)]
    lines = []
    for row in zip(texts, *columns, strict=True):
        for at in range(max(map(len, row))):
            text, *numbers, verdict = (cell[at] if at < len(cell) else "" for cell in row)
            placed = (f"{number:>{room}}" for number, room in zip(numbers, widths, strict=False))
            lines.append(_GAP.join((f"{text:<{left}}", *placed, verdict)).rstrip())
    return lines
