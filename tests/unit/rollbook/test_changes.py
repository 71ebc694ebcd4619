from typing import Any, cast

from rollbook._sync.changes import Changes
from rollbook._sync.operations import Log
from rollbook.resources import Feed, LogEntry


class BusyLog:
    """Has another event each time that it is asked."""

    def __init__(self) -> None:
        self.head = 7
        self.asked: list[dict[str, Any]] = []

    def read(self, **asked: Any) -> Feed:  # noqa: ANN401  the parameters of the operation
        self.asked.append(asked)
        self.head += 1
        return Feed(items=[LogEntry(position=self.head, event={})], head=self.head, read_until=self.head)


def test_each_wait_goes_on_after_the_one_before() -> None:
    log = BusyLog()
    changes = Changes(cast("Log", log))

    for _ in range(3):
        changes.wait("rollout-1", at_most_s=2.0)

    assert log.asked == [
        {"limit": 1},
        {"after": 8, "stream": "rollout-1", "wait_ms": 2_000},
        {"after": 9, "stream": "rollout-1", "wait_ms": 2_000},
    ]
