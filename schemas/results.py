"""The answer to many questions or commands in one call: one result for each, in their order."""

from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec

Answer = TypeVar("Answer")


class ItemProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why one item was not carried out; `field` is the JSON path within the item, `remedy` what the caller can do."""

    code: str
    detail: str
    field: str | None = None
    remedy: str | None = None


class Result(msgspec.Struct, Generic[Answer], frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item: its answer, or its own problem, which fails no other."""

    answer: Answer | None = None
    problem: ItemProblem | None = None


class Results(msgspec.Struct, Generic[Answer], frozen=True, kw_only=True):
    """A result for each item, in the order in which they were sent."""

    items: list[Result[Answer]]


class Refusal(Protocol):
    """An error that says what is wrong with a request."""

    code: ClassVar[str]
    detail: str
    field: str | None
    remedy: str | None


def problem_of(error: Refusal) -> ItemProblem:
    """Return an error as the problem of one item."""
    return ItemProblem(code=error.code, detail=error.detail, field=error.field, remedy=error.remedy)
