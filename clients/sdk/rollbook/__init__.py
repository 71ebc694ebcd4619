"""Python client of Rollbook, the event-sourced control plane for AI models.

`Rollbook` talks synchronously, `AsyncRollbook` asynchronously; both have the same methods.
"""

from rollbook._async.client import AsyncRollbook
from rollbook._sync.client import Rollbook
from rollbook.errors import Conflict, Denied, NotFound, Problem, ProblemDocument, RollbookError, Unreachable

__all__ = [
    "AsyncRollbook",
    "Conflict",
    "Denied",
    "NotFound",
    "Problem",
    "ProblemDocument",
    "Rollbook",
    "RollbookError",
    "Unreachable",
]
