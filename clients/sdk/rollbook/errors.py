"""What can go wrong in a call.

RollbookError
├── Unreachable      no answer: wrong address, server down, time-out
├── GaveUp           a job of many calls had no answer for too long, or was refused as a whole; what is done is kept
└── Problem          the server refused; carries its problem document
    ├── NotFound     404
    ├── Conflict     409 and 412: another command came first, or a name is taken
    └── Denied       401 and 403
"""

import msgspec


class RollbookError(Exception):
    """Base of everything this package raises on its own account."""


class Unreachable(RollbookError):
    """The server gave no answer; the message names the address and the remedy."""


class GaveUp(RollbookError):
    """A job of many calls stopped half-way; what is done is kept."""


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details as Rollbook writes them."""

    title: str = ""
    status: int = 0
    code: str = "unknown"
    detail: str = ""
    field: str | None = None
    remedy: str | None = None
    correlation_id: str | None = None


class Problem(RollbookError):
    """The server refused the call; `document` says why, which field is wrong and what helps."""

    def __init__(self, document: ProblemDocument) -> None:
        """Make the message from the document: sentence, field, remedy."""
        field = f" (field {document.field})" if document.field else ""
        remedy = f" {document.remedy}" if document.remedy else ""
        super().__init__(f"{document.detail or document.title}{field}{remedy}")
        self.document = document

    @property
    def code(self) -> str:
        """The stable kebab-case code of the refusal."""
        return self.document.code


class NotFound(Problem):
    """No such thing."""


class Conflict(Problem):
    """Another command came first, or a name or key is taken."""


class Denied(Problem):
    """The token is missing, unknown or too weak."""


_BY_STATUS: dict[int, type[Problem]] = {401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 412: Conflict}


def problem_from(status: int, body: bytes) -> Problem:
    """Read an error answer; a body that is no problem document still gives a usable error."""
    try:
        document = msgspec.json.decode(body, type=ProblemDocument)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = ProblemDocument(status=status, code="unexpected-answer", detail=body[:500].decode(errors="replace"))
    return _BY_STATUS.get(status, Problem)(document)
