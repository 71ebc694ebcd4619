"""Why an engine cannot be loaded, or cannot answer.

EngineError
├── CannotLoadError           the version can never run as it is; `code` is used in InstanceFailed
│   ├── MalformedArtifactError   the file is not of its format
│   ├── UntrustedTypeError       the file would create objects of an untrusted type
│   ├── EngineNotInstalledError  the library for the format is not installed
│   ├── SignatureMismatchError   the model's inputs or outputs differ from its signature
│   └── UnansweredInputError     the model fails on every input that was tried
└── PredictionFailedError     the model failed on this input
"""

from typing import ClassVar

from schemas.events.registry import Signature
from schemas.tensor_notation import options_of


class EngineError(Exception):
    """Base of this tree; the message is one sentence for people."""


class CannotLoadError(EngineError):
    """Loading again fails the same way."""

    code: ClassVar[str] = "artifact-cannot-be-loaded"


class MalformedArtifactError(CannotLoadError):
    """The file does not look like its format; none of it was loaded."""

    code = "artifact-malformed"


class UntrustedTypeError(CannotLoadError):
    """The file names untrusted types; none of its objects were created."""

    code = "artifact-untrusted"

    def __init__(self, types: list[str], *, remedy: str) -> None:
        super().__init__(f"the artifact needs types or functions that are not trusted: {', '.join(types)}; {remedy}")
        self.types = tuple(types)


class EngineNotInstalledError(CannotLoadError):
    """The format needs a library that is not installed here."""

    code = "engine-not-installed"

    def __init__(self, *, library: str, extra: str) -> None:
        super().__init__(
            f"this installation lacks {library}; install it with `pip install 'rollbook-server[{extra}]'` "
            f"(in a clone `./task setup -- --extra {extra}`) on the host of the serving agent"
        )


class SignatureMismatchError(CannotLoadError):
    """The signature does not match the model."""

    code = "signature-mismatch"

    def __init__(self, detail: str, *, fitting: Signature | None = None) -> None:
        self.detail = detail
        advice = f"; register it with {options_of(fitting)}" if fitting else ""
        super().__init__(detail + advice)


class UnansweredInputError(CannotLoadError):
    """The model fails on its golden input, or on every generated one."""

    code = "model-fails"


class PredictionFailedError(EngineError):
    """The model raised an error for an input that fits the signature, or its answer does not fit the signature."""
