"""What the generated types of `rollbook.resources` are based on, and the words that people have for some of them."""

from typing import Protocol

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
