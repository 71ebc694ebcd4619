"""Why a command on the registry is not carried out.

Invalid   ── InvalidNameError, InvalidAliasError, InvalidParentError, InvalidSignatureError, InvalidGoldenExampleError,
             SignatureDiffersError, SignatureNotToldError
Unknown   ── ModelNotFoundError, VersionNotFoundError
Conflict  ── StaleVersionError
"""

from control_plane.errors import Conflict, Invalid, Unknown


class InvalidNameError(Invalid):
    """The name cannot be used in a path."""

    code = "invalid-name"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is not a valid model name",
            field="name",
            remedy="use 1 to 63 letters, digits, dots, dashes and underscores between letters or digits, and not an id",
        )


class InvalidAliasError(Invalid):
    """The alias cannot stand behind a model's name."""

    code = "invalid-alias"

    def __init__(self, alias: str) -> None:
        super().__init__(
            f"{alias!r} is not a valid alias",
            field="alias",
            remedy="use 1 to 63 lower-case letters, digits, dots, dashes and underscores, and not only digits",
        )


class InvalidParentError(Invalid):
    """An adapter has no parent model, or a model that is no adapter has one."""

    code = "invalid-parent"

    def __init__(self, detail: str, *, remedy: str) -> None:
        super().__init__(detail, field="artifact.parent", remedy=remedy)


class InvalidSignatureError(Invalid):
    """The inputs and outputs of the signature contradict each other."""

    code = "invalid-signature"


class InvalidGoldenExampleError(Invalid):
    """The example does not fit the signature."""

    code = "invalid-golden-example"


class SignatureDiffersError(Invalid):
    """The model in the file does not have the inputs and outputs that the signature states."""

    code = "signature-differs"


class SignatureNotToldError(Invalid):
    """The signature is missing an input or output that the file does not state, either."""

    code = "signature-not-told"


class ModelNotFoundError(Unknown):
    """No model has this name or id."""

    code = "model-not-found"

    def __init__(self, model: str) -> None:
        super().__init__(f"there is no model {model}", field="model", remedy="list the models, or register it")


class VersionNotFoundError(Unknown):
    """No version has this number or id."""

    code = "version-not-found"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"there is no version {version}", field="version", remedy="list the model's versions, or register it"
        )


class StaleVersionError(Conflict):
    """The resource has changed since the caller read it."""

    code = "stale-version"

    def __init__(self, *, found: int, expected: int) -> None:
        super().__init__(
            f"the stream is at version {found}, not {expected}",
            field="If-Match",
            remedy="read it again and send the command against the version it has now",
        )
