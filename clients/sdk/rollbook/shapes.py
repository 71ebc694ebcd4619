"""What the generated types of `rollbook.resources` are based on, and the words that people have for some of them."""

from typing import Protocol, Self

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """A value that the API takes or answers."""


class _Numbered(Protocol):
    @property
    def model_name(self) -> str: ...

    @property
    def number(self) -> int: ...


class _InAPhase(Protocol):
    @property
    def phase(self) -> str: ...


class CanaryShape(Shape, frozen=True):
    """A canary, made of its weights alone."""

    @classmethod
    def in_steps(cls, *weights: float, min_s: float = 300, max_s: float | None = None, bake_s: float = 300) -> Self:
        """Return a canary that raises the candidate's weight to each of these percentages; the last is 100.

        A step lasts at least `min_s` and is undecided after `max_s`, by default an hour or `min_s` if that is longer;
        after the last one, errors alone are watched for `bake_s` more.
        """
        max_s = max(3_600, min_s) if max_s is None else max_s
        durations = {"min_duration_ms": round(min_s * 1_000), "max_duration_ms": round(max_s * 1_000)}
        steps = [{"weight_percent": float(weight), **durations} for weight in weights]
        return msgspec.convert({"steps": steps, "bake_time_ms": round(bake_s * 1_000)}, cls)


class VersionShape(Shape, frozen=True):
    """A version, by the name that people and calls have for it."""

    @property
    def reference(self: _Numbered) -> str:
        """The version as people and calls name it, `model/number`."""
        return f"{self.model_name}/{self.number}"


class RolloutShape(Shape, frozen=True):
    """A rollout, by how far it is."""

    @property
    def is_over(self: _InAPhase) -> bool:
        """Whether the rollout reached its end."""
        return self.phase in {"completed", "aborted"}
