"""Why an engine cannot be loaded, or cannot answer.

EngineError
├── CannotLoadError           the version will never run as it is; `code` is that of InstanceFailed
│   ├── MalformedArtifactError   the file is not of its format
│   ├── UntrustedTypeError       the file would create objects of a type that we do not trust
│   ├── EngineNotInstalledError  the library behind the format is missing here
│   ├── SignatureMismatchError   the model takes or gives something else than its signature says
│   └── UnansweredInputError     the model fails on every input that it was tried with
└── PredictionFailedError     the model failed on this input
"""

from typing import ClassVar

from schemas.events.registry import Signature
from schemas.tensor_notation import options_of


class EngineError(Exception):
    """Base of this tree; the message is one sentence for a person."""


class CannotLoadError(EngineError):
    """Loading again meets the same."""

    code: ClassVar[str] = "artifact-cannot-be-loaded"


class MalformedArtifactError(CannotLoadError):
    """The file does not look like its format; nothing of it was loaded."""

    code = "artifact-malformed"


class UntrustedTypeError(CannotLoadError):
    """The file names types that we do not trust; nothing of it was created."""

    code = "artifact-untrusted"

    def __init__(self, types: list[str], *, remedy: str) -> None:
        super().__init__(f"the artifact needs types or functions that are not trusted: {', '.join(types)}; {remedy}")
        self.types = tuple(types)


class EngineNotInstalledError(CannotLoadError):
    """The format needs a library that this installation lacks."""

    code = "engine-not-installed"

    def __init__(self, *, library: str, extra: str) -> None:
        super().__init__(
            f"this installation lacks {library}; install it with `pip install 'rollbook-server[{extra}]'` "
            f"(in a clone `./task setup -- --extra {extra}`) on the host of the serving agent"
        )


class SignatureMismatchError(CannotLoadError):
    """The signature promises what the model does not hold."""

    code = "signature-mismatch"

    def __init__(self, detail: str, *, fitting: Signature | None = None) -> None:
        self.detail = detail
        advice = f"; register it with {options_of(fitting)}" if fitting else ""
        super().__init__(detail + advice)


class UnansweredInputError(CannotLoadError):
    """The model fails on its golden input, or on every made-up one."""

    code = "model-fails"


class PredictionFailedError(EngineError):
    """The model raised on an input that fits the signature, or answered what its signature does not allow."""
