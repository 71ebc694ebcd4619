"""Errors of the batch server.

BatchServerError
├── ApiError          an error for the caller, in OpenAI's form
├── PartAwayError     the API or the gateway does not answer now; retrying may help
└── RefusedError      the API refused; repeating the call would be refused too
"""

from http import HTTPStatus


class BatchServerError(Exception):
    """Base of this tree."""


class ApiError(BatchServerError):
    """An error for the caller: its status, one sentence with the remedy, and what OpenAI's clients distinguish."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        code: str,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        """Store what the answer contains; `param` names the field."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind


class PartAwayError(BatchServerError):
    """A part of Rollbook does not answer now."""


class RefusedError(BatchServerError):
    """The API refused; `code` is the problem's."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        """Store what the problem says."""
        super().__init__(message)
        self.code = code
        self.status = status


def not_found(what: str, identifier: str, *, param: str) -> ApiError:
    """Say that there is no such thing, without revealing whether it exists for somebody else."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"no such {what}: {identifier[:100]}; list the existing ones as their owner",
        code=f"{what}_not_found",
        param=param,
    )


def storage_full() -> ApiError:
    """Say that the disk is full."""
    return ApiError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "the disk of the batch server is full, and nothing was stored; delete files, or ask an operator for space",
        code="storage_full",
        kind="server_error",
    )


def control_plane_unavailable() -> ApiError:
    """Say that the log cannot be written now."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the control plane does not answer; try again",
        code="control_plane_away",
        kind="server_error",
    )
