"""What can go wrong in a call.

RollbookError
├── Unreachable      no answer: wrong address, server down, time-out
├── TookTooLong      what was waited for has not happened in time
├── GaveUp           a job of many calls had no answer for too long, or was refused as a whole; what is done is kept
└── Problem          the server refused; carries its problem document
    ├── NotFound     404
    ├── Conflict     409 and 412: another command came first, or a name is taken
    └── Denied       401 and 403
"""

import msgspec


class RollbookError(Exception):
    """Base of everything this package raises on its own account.

    `code` is stable and fit for programs, `field` names what is wrong, `remedy` says what helps; both may be None.
    """

    code: str = "client-error"
    field: str | None = None
    remedy: str | None = None


class Unreachable(RollbookError):
    """The server gave no answer; the message names the address and the remedy."""

    code = "unreachable"


class GaveUp(RollbookError):
    """A job of many calls stopped half-way; what is done is kept."""

    code = "gave-up"


class TookTooLong(RollbookError):
    """What was waited for has not happened in time; it goes on without being waited for."""

    code = "took-too-long"


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
        said = f"{document.detail or document.title}{field}"
        between = " " if said.endswith((".", "!", "?")) else "; "
        super().__init__(f"{said}{between}{document.remedy}" if document.remedy else said)
        self.document = document
        self.status = document.status
        self.code = document.code
        self.field = document.field
        self.remedy = document.remedy


class NotFound(Problem):
    """No such thing."""


class Conflict(Problem):
    """Another command came first, or a name or key is taken."""


class Denied(Problem):
    """The token is missing, unknown or too weak."""


_BY_STATUS: dict[int, type[Problem]] = {401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 412: Conflict}


class _ErrorOfGateway(msgspec.Struct, frozen=True):
    """An error as the Open Inference Protocol has it; the gateway adds the code."""

    error: str
    code: str = "unknown"


def problem_from(status: int, body: bytes) -> Problem:
    """Read an error answer of the API or the gateway; a body that is neither still gives a usable error."""
    return _BY_STATUS.get(status, Problem)(_document_in(status, body))


def _document_in(status: int, body: bytes) -> ProblemDocument:
    try:
        refusal = msgspec.json.decode(body, type=_ErrorOfGateway)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    else:
        return ProblemDocument(status=status, code=refusal.code, detail=refusal.error)
    try:
        document = msgspec.json.decode(body, type=ProblemDocument)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = ProblemDocument()
    if document.status:
        return document
    return ProblemDocument(status=status, code="unexpected-answer", detail=body[:500].decode(errors="replace"))
