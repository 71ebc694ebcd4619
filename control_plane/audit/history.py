"""Checks that a history is one that the store could have written, event by event, whatever file or topic it is from."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from control_plane.audit.checkpoint import Checkpoint
from control_plane.audit.merkle import CompactTree
from control_plane.log.errors import LogBrokenError
from control_plane.log.ports import LoggedEvent
from schemas.envelope import Envelope, decode


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a checked log comes to."""

    size: int
    root: bytes
    position: int
    streams: int


class HistoryChecker:
    """Takes events in order and raises at the first that cannot be right.

    An event changed in a way that still reads well, or cut off the end, breaks no rule of a history: that shows
    against a checkpoint, or against the other copy of the log.
    """

    def __init__(self, where: str, *, checkpoints: Sequence[Checkpoint] = ()) -> None:
        self._where = where
        self._roots = {checkpoint.size: checkpoint.root for checkpoint in checkpoints}
        self._versions: dict[str, int] = {}
        self._tree = CompactTree()
        self._position = 0

    def take(self, event: LoggedEvent) -> None:
        """Add the next event.

        Raises:
            LogBrokenError: where and how the log departs from what it must be.
        """
        envelope = self._envelope(event)
        if event.position <= self._position:
            raise self._broken(event, f"it follows position {self._position}, but positions must increase")
        self._check_copies(event, envelope)
        self._check_version(event)
        self._position = event.position
        self._tree.append_event(envelope.id, event.canonical)
        expected = self._roots.get(self._tree.size)
        if expected is not None and expected != self._tree.root():
            raise LogBrokenError(
                f"{self._where}: the first {self._tree.size} events are not those of the checkpoint of that size; "
                "one of them was changed, removed, added or moved"
            )

    def evidence(self) -> Evidence:
        """Return what the log comes to.

        Raises:
            LogBrokenError: a checkpoint covers more events than there are.
        """
        largest = max(self._roots, default=0)
        if largest > self._tree.size:
            raise LogBrokenError(
                f"{self._where}: there are {self._tree.size} events, but a checkpoint covers {largest}; "
                "events at the end are missing"
            )
        root, streams = self._tree.root(), len(self._versions)
        return Evidence(size=self._tree.size, root=root, position=self._position, streams=streams)

    def _envelope(self, event: LoggedEvent) -> Envelope:
        try:
            return decode(event.canonical)
        except msgspec.DecodeError as error:
            raise self._broken(event, f"its bytes are not an event ({error})") from error

    def _check_copies(self, event: LoggedEvent, envelope: Envelope) -> None:
        copies = (
            ("stream", event.stream, envelope.stream),
            ("stream version", event.version, envelope.streamversion),
            ("type", event.type_name, envelope.type),
        )
        for name, copy, original in copies:
            if copy != original:
                raise self._broken(event, f"the {name} beside it is {copy}, but the event itself says {original}")

    def _check_version(self, event: LoggedEvent) -> None:
        expected = self._versions.get(event.stream, 0) + 1
        if event.version != expected:
            how = (
                "an event before it is missing" if event.version > expected else "an event comes twice or out of order"
            )
            raise self._broken(
                event, f"{event.stream} goes from version {expected - 1} to version {event.version}; {how}"
            )
        self._versions[event.stream] = event.version

    def _broken(self, event: LoggedEvent, what: str) -> LogBrokenError:
        return LogBrokenError(f"{self._where}, position {event.position}: {what}")


def difference(stored: LoggedEvent | None, published: LoggedEvent | None) -> str | None:
    """Say in plain words how the same place of the store and of the topic differ; None when they do not."""
    if stored == published:
        return None
    if stored is None and published is not None:
        return f"the topic has an event at position {published.position} that the store lacks"
    if published is None and stored is not None:
        return f"the topic ends before position {stored.position}, which the store has"
    assert stored is not None
    assert published is not None
    if stored.position != published.position:
        return (
            f"the store goes on at position {stored.position} ({stored.type_name} of {stored.stream}) and the topic at "
            f"position {published.position} ({published.type_name} of {published.stream})"
        )
    digests = (sha256(event.canonical).hexdigest()[:12] for event in (stored, published))
    return (
        f"position {stored.position} is another event in the topic than in the store (SHA-256 {' and '.join(digests)}…)"
    )
