"""What the Open Inference Protocol surface answers when it cannot answer a prediction; each knows its HTTP status.

ProtocolError
├── InvalidRequestError     400
├── UnknownModelError       404
├── TooLargeError           413
├── InferenceFailedError    500
└── OverloadedError         503, after a moment it may work
"""

from typing import ClassVar


class ProtocolError(Exception):
    """Base of this tree; the message goes to the caller as it is."""

    status: ClassVar[int] = 500


class InvalidRequestError(ProtocolError):
    """The request does not fit the protocol or the signature; the message names the tensor."""

    status = 400


class UnknownModelError(ProtocolError):
    """The path names another model or version than the one that runs here, or nothing that exists."""

    status = 404


class TooLargeError(ProtocolError):
    """The body is above the limit."""

    status = 413

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"the request body is larger than {limit_bytes} bytes; send fewer rows in one request")


class InferenceFailedError(ProtocolError):
    """The model failed, or answered a number that JSON cannot carry."""

    status = 500


class OverloadedError(ProtocolError):
    """The bounded queue is full, or the instance is not ready or stopping."""

    status = 503
