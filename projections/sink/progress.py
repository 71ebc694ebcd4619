"""Which messages of one partition are new, which are known, and which must be repeated exactly. Pure."""

from collections.abc import Sequence

import msgspec

from projections.messages import Message


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The latest batch that was begun: everything before `first` is in the tables, `first` to `last` may be.

    `generation` is that of its messages.
    """

    first: int
    last: int
    last_timestamp_ms: int
    generation: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a partition stands: its mark, if the log that it was made in is still there, and the log's generation."""

    mark: Mark | None = None
    generation: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of one partition. `held` are messages of an unfinished replay, in offset order."""

    next_offset: int = 0
    replay: Mark | None = None
    held: tuple[Message, ...] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that are inserted together, the first time under a token made of the range they stand for."""

    messages: tuple[Message, ...]
    first: int
    last: int
    is_replay: bool


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with what has just arrived, and where the partition stands once that is done."""

    known: tuple[Message, ...]
    batches: tuple[Batch, ...]
    progress: Progress


def resume(mark: Mark | None) -> Progress:
    """Return a partition's progress after a restart or a rebalance."""
    return Progress() if mark is None else Progress(next_offset=mark.first, replay=mark)


def admit(progress: Progress, messages: Sequence[Message]) -> Admission:
    """Sort arrived messages (in offset order) into known ones, at most one repeated batch and at most one new one.

    A batch that a crash may have cut short is repeated with exactly its old range: its rows fold with those that are
    already there. Until its last message is here, its messages are held.
    """
    known, fresh = _split_known(progress.next_offset, messages)
    if progress.replay is None:
        return _admit_new(known, fresh, progress.next_offset)
    mark = progress.replay
    held = _continue(progress.held, tuple(message for message in fresh if message.offset <= mark.last))
    is_complete = bool(fresh) and fresh[-1].offset >= mark.last
    if not is_complete:
        waiting = msgspec.structs.replace(progress, held=held)
        return Admission(known=known, batches=(), progress=waiting)
    after = _admit_new(known, tuple(message for message in fresh if message.offset > mark.last), mark.last + 1)
    repeated = Batch(messages=held, first=mark.first, last=mark.last, is_replay=True)
    return msgspec.structs.replace(after, batches=((repeated, *after.batches) if held else after.batches))


def _split_known(next_offset: int, messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    known: list[Message] = []
    fresh: list[Message] = []
    for message in messages:
        # After a rebalance the same message may stand twice among those that arrived together.
        is_known = message.offset < next_offset or bool(fresh and message.offset <= fresh[-1].offset)
        (known if is_known else fresh).append(message)
    return tuple(known), tuple(fresh)


def _admit_new(known: tuple[Message, ...], fresh: tuple[Message, ...], next_offset: int) -> Admission:
    if not fresh:
        return Admission(known=known, batches=(), progress=Progress(next_offset=next_offset))
    batch = Batch(messages=fresh, first=fresh[0].offset, last=fresh[-1].offset, is_replay=False)
    return Admission(known=known, batches=(batch,), progress=Progress(next_offset=batch.last + 1))


def _continue(held: tuple[Message, ...], more: tuple[Message, ...]) -> tuple[Message, ...]:
    behind = held[-1].offset if held else -1
    return (*held, *(message for message in more if message.offset > behind))
