"""Why the store does not carry out a command.

Conflict
├── StaleVersionError          stale-version
├── NameTakenError             name-taken
├── IdempotencyKeyReusedError  idempotency-key-reused
└── AnswerErasedError          answer-erased
Invalid
└── EventTooLargeError         event-too-large
Unavailable
├── StoreUnavailableError      store-unavailable: the disk or the file
├── StoreBusyError             store-busy: the queue of commands is full
└── NewerEventError            written-by-newer-release

StoreUnavailableError is a LogUnreadableError, too: readers of the log know that one alone.
"""

from control_plane.errors import Conflict, Invalid, Unavailable
from control_plane.log.errors import LogUnreadableError


class StaleVersionError(Conflict):
    """The resource has changed since the caller read it."""

    code = "stale-version"

    def __init__(self, *, stream: str, expected: int, found: int | None) -> None:
        now = "has other events now" if found is None else f"is at version {found}"
        super().__init__(
            f"{stream} was expected at version {expected} but {now}",
            remedy="read it again and send the command against the version it has now",
        )


class NameTakenError(Conflict):
    """Another resource of this kind holds the name, compared without regard to case."""

    code = "name-taken"

    def __init__(self, *, kind: str, name: str) -> None:
        super().__init__(f"a {kind} called {name!r}", field="name", remedy=f"choose another name for the {kind}")


class IdempotencyKeyReusedError(Conflict):
    """The idempotency key was used for another request."""

    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "this idempotency key was used before with another request",
            field="Idempotency-Key",
            remedy="use a new key for each request; repeat a key only with exactly the same request",
        )


class AnswerErasedError(Conflict):
    """The command was carried out, and its answer was erased together with the person it was about."""

    code = "answer-erased"

    def __init__(self) -> None:
        super().__init__(
            "this request was carried out before, and its answer was erased together with the person it was about",
            field="Idempotency-Key",
            remedy="use a new key to send the request again",
        )


class EventTooLargeError(Invalid):
    """The event would be larger than the log accepts."""

    code = "event-too-large"

    def __init__(self, *, type_name: str, size: int, limit: int) -> None:
        super().__init__(
            f"{type_name} would take {size} bytes in the log; the limit is {limit}",
            remedy="store large values as artifacts and refer to them by digest",
        )


class StoreUnavailableError(Unavailable, LogUnreadableError):
    """The event store's file cannot be written or read now."""

    code = "store-unavailable"


class StoreBusyError(Unavailable):
    """Too many commands are waiting for the event store."""

    code = "store-busy"

    def __init__(self, *, waiting: int) -> None:
        super().__init__(
            f"{waiting} commands are waiting already", remedy="try again in a second, with fewer concurrent commands"
        )


class NewerEventError(Unavailable):
    """The resource has an event that only a newer release can read, so no command on it is accepted."""

    code = "written-by-newer-release"

    def __init__(self, *, stream: str, type_name: str, detail: str) -> None:
        super().__init__(
            f"{stream} holds an event {type_name} that this release can't read: {detail}",
            remedy="run the release that wrote it, or a later one",
        )
