"""How views make rows of messages: each for its own table, and all of one topic together, for its sink."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic

import msgspec

from projections.errors import NotProjectedError, UndecodableError
from projections.feeds.feed import Content, Feed
from projections.messages import Message
from projections.tables import Rows, Table
from schemas.topics import Topic


class TableProjector(msgspec.Struct, Generic[Content], frozen=True, kw_only=True):
    """How the messages of one feed become rows of one table.

    `rows` is pure, refuses nothing that the feed decodes, and returns no row for what the view does not show. Where it
    raises all the same, the message has no effect on any table, becomes a dead letter, and the table counts as failing.
    A table that `is_last` is inserted after the others of its topic: its rows are taken as the sign that those are
    complete.
    """

    feed: Feed[Content]
    table: Table
    rows: Callable[[Content, Message], Rows]
    is_last: bool = False


class TopicProjector:
    """What all views make of one topic. A message has its effect on all of its tables or, as a dead letter, on none."""

    def __init__(self, feed: Feed[Any], parts: Sequence[TableProjector[Any]]) -> None:
        self.feed = feed
        self._parts = sorted(parts, key=lambda part: part.is_last)

    @property
    def topic(self) -> Topic:
        return self.feed.topic

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(part.table for part in self._parts)

    def project(self, message: Message) -> tuple[Rows, ...]:
        content = self._decoded(message)
        return tuple(_rows(part, content, message) for part in self._parts)

    def _decoded(self, message: Message) -> Any:  # noqa: ANN401  whatever the feed gives
        try:
            return self.feed.decode(message)
        except (UndecodableError, MemoryError):
            raise
        except Exception as error:
            raise NotProjectedError(self.topic.name, error) from error


def _rows(part: TableProjector[Any], content: object, message: Message) -> Rows:
    try:
        return part.rows(content, message)
    except MemoryError:
        raise
    except Exception as error:
        raise NotProjectedError(part.table.name, error) from error


def joined(parts: Iterable[TableProjector[Any]]) -> tuple[TopicProjector, ...]:
    """Return one projector for each topic that the parts read."""
    by_topic: dict[str, list[TableProjector[Any]]] = {}
    for part in parts:
        by_topic.setdefault(part.feed.topic.name, []).append(part)
    for topic, together in by_topic.items():
        assert all(part.feed is together[0].feed for part in together), f"{topic} has two feeds"
    return tuple(TopicProjector(together[0].feed, together) for together in by_topic.values())
