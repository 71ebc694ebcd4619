"""The kinds of values that options take, and the checks that they share."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from rollbook import RollbookError, _sendable

Value = TypeVar("Value")

LIMIT = click.option("--limit", type=click.IntRange(min=1), help="List at most this many; defaults to all.")


class Number(click.FloatRange):
    """A finite number within bounds; without an upper one, what a float would call infinite is refused too."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's own
        """Convert the text to a number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def finite(text: str) -> float:
    """Return the number that a text has.

    Raises:
        ValueError: it has none, or one that is not finite.
    """
    number = float(text)
    if not math.isfinite(number):
        message = f"{text} is not finite"
        raise ValueError(message)
    return number


def once_each(pairs: Iterable[tuple[str, Value]], *, parameter: click.Parameter) -> dict[str, Value]:
    """Return pairs as a dictionary.

    Raises:
        click.BadParameter: a name is given twice, and one of its values would be lost.
    """
    given = list(pairs)
    for name, count in Counter(name for name, _ in given).items():
        if count > 1:
            message = f"{name!r} is given {count} times; give it once"
            raise click.BadParameter(message, param=parameter)
    return dict(given)


def finite_numbers(
    form: str, *, example: str
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, float]]:
    """Make a callback that reads texts of a form such as NAME=NUMBER, each name once."""

    def callback(_context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, float]:
        pairs = []
        for text in texts:
            name, _equals, number = text.rpartition("=")
            try:
                pairs.append((name, finite(number)))
            except ValueError as error:
                message = f"{text!r}: write {form} with a finite number, for example {example}"
                raise click.BadParameter(message, param=parameter) from error
        return once_each(pairs, parameter=parameter)

    return callback


def checked_by(check: Callable[[str], str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Make a callback that refuses what the SDK refuses, under the option's name."""

    def callback(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        with refused_as(parameter):
            return None if value is None else check(value)

    return callback


@contextmanager
def refused_as(parameter: click.Parameter) -> Iterator[None]:
    """Turn a refusal of the SDK into one of an option."""
    try:
        yield
    except RollbookError as error:
        raise click.BadParameter(str(error), param=parameter) from error


TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=Number(min=0),
    default=3600.0,
    show_default=True,
    help="Wait at most this many seconds.",
)

GATEWAY = click.option(
    "--gateway",
    metavar="URL",
    callback=checked_by(_sendable.url),
    help="Use the gateway at this address; defaults to the stack on this machine.",
)
