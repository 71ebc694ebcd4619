"""How the messages of one topic come in, whichever views are made of them."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from projections.messages import Message
from schemas.topics import Topic

Content = TypeVar("Content")


class Feed(msgspec.Struct, Generic[Content], frozen=True, kw_only=True):
    """A topic as views read it: each message is decoded once, and so many of them make one insert.

    `decode` is pure and raises `UndecodableError` for a message that does not have the form of its topic. The messages
    of a topic that `is_spread` over its partitions are collected for longer, as each partition makes an insert of its
    own.
    """

    topic: Topic
    decode: Callable[[Message], Content]
    max_messages: int
    is_spread: bool = False
