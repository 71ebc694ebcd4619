"""The single table from errors to HTTP: RFC 9457 problem documents, with a stable code, the field and the remedy."""

from http import HTTPStatus
from typing import Any, Protocol

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from control_plane import errors
from control_plane.web.bodies import sentence

MEDIA_TYPE = "application/problem+json"
LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_SHOWN = "send the type that /openapi shows"
_log = structlog.get_logger(__name__)

_STATUS: dict[type[errors.RollbookError], HTTPStatus] = {
    errors.Invalid: HTTPStatus.BAD_REQUEST,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.Unknown: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
# Where HTTP has a status of its own for one error.
_STATUS_OF_CODE = {
    "no-such-route": HTTPStatus.NOT_FOUND,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "artifact-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "event-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "range-not-satisfiable": HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    "too-many-requests": HTTPStatus.TOO_MANY_REQUESTS,
    "too-many-uploads": HTTPStatus.TOO_MANY_REQUESTS,
}
_CODES = {
    HTTPStatus.BAD_REQUEST: "invalid-request",
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.NOT_FOUND: "no-such-route",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}
_REMEDIES = {
    HTTPStatus.NOT_FOUND: "look the path up under /openapi",
    HTTPStatus.METHOD_NOT_ALLOWED: "look the method up under /openapi",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "send less at once; upload files with PUT /v1/artifacts/{digest}",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details; `field` is the JSON path of what is wrong, `remedy` what the caller can do."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    remedy: str | None = None
    correlation_id: str | None = None


class Unauthenticated(errors.RollbookError):
    """The request carries no valid token."""

    code = "unauthenticated"


class BodyTooLarge(errors.RollbookError):
    """The body is larger than the API accepts in one request."""

    code = "body-too-large"


def status_of_kind(kind: Any) -> HTTPStatus:  # noqa: ANN401  an error of ours, or of a part that knows its status
    """Return the status of an error's code, or else of the root that it derives from."""
    if not issubclass(kind, errors.RollbookError):
        return HTTPStatus(kind.status)
    if kind.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[kind.code]
    return next(status for root, status in _STATUS.items() if issubclass(kind, root))


class NoSuchRoute(errors.RollbookError):
    """No operation has this path, for example because it has a word in place of a number."""

    code = "no-such-route"


def answer_refusal(request: Request[Any, Any, Any], error: errors.RollbookError) -> Response[bytes]:
    """Answer one of our own errors."""
    status = status_of_kind(type(error))
    answer = _response(request, status, error.code, error.detail, field=error.field, remedy=error.remedy)
    if status in LATER:
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer


class ErrorWithStatus(Protocol):
    """An error of a part that is mounted beside ours and knows its own status."""

    code: str
    status: int
    detail: str
    field: str | None
    remedy: str | None


def answer_error_with_status(request: Request[Any, Any, Any], error: ErrorWithStatus) -> Response[bytes]:
    """Answer such an error."""
    return _response(
        request, HTTPStatus(error.status), error.code, error.detail, field=error.field, remedy=error.remedy
    )


def answer_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused before a handler ran: an unknown path, a bad parameter, a large body."""
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_fault(request, error)
    wrong = _wrong_value(error)
    if wrong is not None:
        return answer_refusal(request, wrong)
    code, remedy = _CODES.get(status, "invalid-request"), _REMEDIES.get(status, "look the request up under /openapi")
    answer = _response(request, status, code, error.detail, remedy=remedy)
    # What is allowed in place of a refused method.
    answer.headers.update(error.headers or {})
    return answer


def answer_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a fault of ours without its inner text; the log has it under the correlation id."""
    _log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return _response(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "the server failed",
        remedy="report it with the correlation id",
    )


def _wrong_value(error: HTTPException) -> errors.Invalid | None:
    """Return what is wrong with the first parameter."""
    extra = error.extra[0] if isinstance(error.extra, list) and error.extra else None
    if not isinstance(extra, dict) or "key" not in extra:
        return None
    return errors.Invalid(sentence(str(extra.get("message", error.detail))), field=str(extra["key"]), remedy=_SHOWN)


def _response(
    request: Request[Any, Any, Any],
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    remedy: str | None = None,
) -> Response[bytes]:
    problem = Problem(
        type=f"urn:rollbook:problem:{code}",
        title=status.phrase,
        status=status,
        code=code,
        detail=detail,
        field=field,
        remedy=remedy,
        correlation_id=request.scope.get("state", {}).get("correlation_id"),
    )
    headers = {}
    if status in LATER:
        headers["retry-after"] = str(errors.RollbookError.retry_after_s)
    if status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(problem), status_code=status, media_type=MEDIA_TYPE, headers=headers)


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    errors.RollbookError: answer_refusal,
    HTTPException: answer_framework_error,
    Exception: answer_fault,
}
