"""Small line charts as SVG text; no script, no library, so that the report is one file."""

from collections.abc import Sequence
from html import escape

import msgspec

WIDTH, HEIGHT = 860, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 24
_TICKS = 4


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Points (x, y) in order of x; `band` has (x, lower, upper) around them. `is_step` holds each y until the next."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    is_step: bool = False


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """The range of a direction and the unit behind its numbers."""

    low: float
    high: float
    unit: str

    def place(self, value: float, start: float, end: float) -> float:
        """Return where a value stands between two pixels."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return start + share * (end - start)


def line_chart(title: str, lines: Sequence[Line], *, seconds: Axis, values: Axis, marks: Sequence[float] = ()) -> str:
    """Return one chart; `marks` are seconds at which something was decided."""
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">', *_grid(seconds, values)]
    parts += [_mark(second, seconds) for second in marks]
    for line in lines:
        if line.band:
            parts.append(_band(line, seconds, values))
        if line.points:
            parts.append(_path(line, seconds, values))
    return "\n".join([*parts, "</svg>"])


def _x(second: float, seconds: Axis) -> float:
    return round(seconds.place(second, _LEFT, WIDTH - _RIGHT), 1)


def _y(value: float, values: Axis) -> float:
    return round(values.place(value, HEIGHT - _BOTTOM, _TOP), 1)


def _grid(seconds: Axis, values: Axis) -> list[str]:
    parts = []
    for tick in range(_TICKS + 1):
        value = values.low + (values.high - values.low) * tick / _TICKS
        y = _y(value, values)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}{values.unit}</text>')
    for tick in range(_TICKS + 1):
        second = seconds.low + (seconds.high - seconds.low) * tick / _TICKS
        anchor = "end" if tick == _TICKS else "middle"
        parts.append(f'<text x="{_x(second, seconds)}" y="{HEIGHT - 6}" text-anchor="{anchor}">{second:.0f} s</text>')
    return parts


def _mark(second: float, seconds: Axis) -> str:
    x = _x(second, seconds)
    return f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'


def _path(line: Line, seconds: Axis, values: Axis) -> str:
    steps = []
    for index, (second, value) in enumerate(line.points):
        x, y = _x(second, seconds), _y(value, values)
        if index == 0:
            steps.append(f"M{x} {y}")
        else:
            steps.append(f"H{x}V{y}" if line.is_step else f"L{x} {y}")
    return f'<path d="{"".join(steps)}" fill="none" stroke="{line.colour}" stroke-width="2"/>'


def _band(line: Line, seconds: Axis, values: Axis) -> str:
    upper = [f"{_x(second, seconds)},{_y(high, values)}" for second, _, high in line.band]
    lower = [f"{_x(second, seconds)},{_y(low, values)}" for second, low, _ in reversed(line.band)]
    return f'<polygon points="{" ".join([*upper, *lower])}" fill="{line.colour}" opacity="0.15"/>'
