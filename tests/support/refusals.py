"""What a refused command may leave: an answer that explains itself, and nothing on the log."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rollbook import Problem, Rollbook


@contextmanager
def refused(rollbook: Rollbook, code: str) -> Iterator[pytest.ExceptionInfo[Problem]]:
    """Expect a refusal with a code, a reason and a remedy, of a command that leaves no event of the caller."""
    before, caller = _head(rollbook), _caller(rollbook)

    with pytest.raises(Problem) as raised:
        yield raised

    document = raised.value.document
    assert document.code == code
    assert document.detail
    assert document.remedy
    later = rollbook.events(after=before, limit=1_000)
    assert [event for event in later if event.event["actor"] == caller] == []


def _head(rollbook: Rollbook) -> int:
    return rollbook.health.ready().position


def _caller(rollbook: Rollbook) -> str:
    """Return who these tests are: the one who registered the first model."""
    first = rollbook.events(event_type="registry.ModelRegistered.v1", limit=1)
    return str(first[0].event["actor"])
