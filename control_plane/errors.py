"""Why a command or a query is not carried out.

RollbookError
├── Invalid       the request itself is wrong: a field, a type, a size
├── Forbidden     the actor may not do this
├── Unknown       what the request names does not exist
├── Conflict      the caller's picture is stale, or a name or key is taken
├── Refused       a business rule says no
└── Unavailable   a part is away for now; trying again may help

Features derive their own errors from these six; `web/problems.py` alone knows their HTTP status.
"""

from typing import ClassVar


class RollbookError(Exception):
    """What is wrong in one sentence, with the field it is about and the remedy. `code` is stable and kebab-case.

    Where trying again may help, `retry_after_s` says when.
    """

    code: ClassVar[str] = "error"
    retry_after_s: ClassVar[int] = 1

    def __init__(self, detail: str, *, field: str | None = None, remedy: str | None = None) -> None:
        """Keep the sentence, the JSON path of the field (`gates[0].max_drop`) and what the caller can do."""
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.remedy = remedy


class Invalid(RollbookError):
    """The request is malformed."""

    code = "invalid-request"


class Forbidden(RollbookError):
    """The actor's role does not allow this."""

    code = "forbidden"


class Unknown(RollbookError):
    """Not found."""

    code = "not-found"


class Conflict(RollbookError):
    """Another command came first."""

    code = "conflict"


class Refused(RollbookError):
    """A rule of the resource does not allow the command."""

    code = "refused"


class Unavailable(RollbookError):
    """A part of the system that the request needs is unavailable."""

    code = "unavailable"
