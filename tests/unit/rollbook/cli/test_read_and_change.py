from types import SimpleNamespace
from typing import Any, cast

import pytest

from rollbook import Conflict, Rollbook
from rollbook.cli.read_and_change import read_and_change
from rollbook.errors import ProblemDocument


class MovingEndpoint:
    """An endpoint that has another version at each reading."""

    def __init__(self) -> None:
        self.reads = 0
        self.endpoints = self

    def get(self, _name: str) -> Any:  # noqa: ANN401  only its version is looked at
        self.reads += 1
        return SimpleNamespace(stream_version=self.reads)


def refusing(code: str, *, below: int) -> Any:  # noqa: ANN401  stands for a change
    def change(endpoint: Any) -> int:  # noqa: ANN401
        if endpoint.stream_version < below:
            raise Conflict(ProblemDocument(code=code))
        return int(endpoint.stream_version)

    return change


def test_what_another_event_overtook_is_read_again_and_changed() -> None:
    moving = MovingEndpoint()

    assert read_and_change(cast("Rollbook", moving), "digits", refusing("stale-version", below=4)) == 4


@pytest.mark.parametrize(("code", "reads"), [("stale-version", 10), ("name-taken", 1)])
def test_any_other_refusal_and_one_without_end_are_told(code: str, reads: int) -> None:
    moving = MovingEndpoint()

    with pytest.raises(Conflict):
        read_and_change(cast("Rollbook", moving), "digits", refusing(code, below=1_000))

    assert moving.reads == reads
