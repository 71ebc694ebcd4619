"""How the messages of one topic come in, whichever views are made of them."""

from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from projections.messages import Message
from schemas.topics import Topic

Content = TypeVar("Content")
Pace: TypeAlias = Literal["event", "request", "spread"]


class Feed(msgspec.Struct, Generic[Content], frozen=True, kw_only=True):
    """A topic as views read it: each message is decoded once, and so many of them make one insert.

    `decode` is pure and raises `UndecodableError` for a message that does not have the form of its topic. The pace
    names the setting of how long messages are collected: people wait for their events, gates for requests, and what is
    spread over all partitions makes an insert for each.
    """

    topic: Topic
    decode: Callable[[Message], Content]
    max_messages: int
    pace: Pace
