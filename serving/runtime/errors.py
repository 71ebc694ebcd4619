"""The errors of the Open Inference Protocol endpoints; each knows its HTTP status.

ProtocolError
├── InvalidRequestError     400
├── UnknownModelError       404
├── TooLargeError           413
├── InferenceFailedError    500
└── OverloadedError         503, retrying after a moment may help
"""

from typing import ClassVar


class ProtocolError(Exception):
    """Base of this tree; the message is sent to the caller unchanged."""

    status: ClassVar[int] = 500


class InvalidRequestError(ProtocolError):
    """The request does not fit the protocol or the signature; the message names the tensor."""

    status = 400


class UnknownModelError(ProtocolError):
    """The path names a model or version that does not run here, or nothing that exists."""

    status = 404


class TooLargeError(ProtocolError):
    """The body exceeds the limit."""

    status = 413

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"the request body is larger than {limit_bytes} bytes; send fewer rows in one request")


class InferenceFailedError(ProtocolError):
    """The model failed, or returned a number that JSON cannot represent."""

    status = 500


class OverloadedError(ProtocolError):
    """The bounded queue is full, or the instance is not ready or is stopping."""

    status = 503
