"""What can be wrong with a file of the artifact store.

Invalid      ── MalformedDigestError, ArtifactTooLargeError
Unknown      ── ArtifactNotFoundError
Refused      ── DigestDiffersError, UploadCutShortError, NotAModelError, UnservableModelError, AdapterDoesNotFitError,
                RangeNotSatisfiableError, ArtifactQuotaExceededError
Unavailable  ── ArtifactStoreUnavailableError, TooManyUploadsError
"""

from collections.abc import Mapping

from control_plane.errors import Invalid, Refused, Unavailable, Unknown
from schemas.events.registry import ArtifactFormat

SAVING_CALLS: Mapping[ArtifactFormat, str] = {
    "skops": 'save the model with skops.io.dump(model, "model.skops")',
    "onnx": "export the model to ONNX again",
    "torch": 'save the exported program with torch.export.save(program, "model.pt2")',
    "xgboost": 'save the model with model.save_model("model.ubj")',
    "lightgbm": 'save the model with booster.save_model("model.txt"), of an LGBMModel with booster_.save_model',
    "catboost": 'save the model with model.save_model("model.cbm")',
    "transformers": "save the model with save_pretrained",
    "lora": "save the adapter with PEFT's save_pretrained",
    "external": "describe the server as docs/how_to/use_a_server_that_already_runs.md shows",
}
"""How a file of each format comes about, as a remedy for one that is none."""


class MalformedDigestError(Invalid):
    """The path does not contain a valid digest."""

    code = "malformed-digest"

    def __init__(self, digest: str, *, field: str = "digest") -> None:
        super().__init__(
            f"{digest[:100]!r}is not a valid SHA-256 digest",
            field=field,
            remedy="write sha256: and 64 lower-case hex digits",
        )


class ArtifactTooLargeError(Invalid):
    """The file is larger than the artifact store accepts."""

    code = "artifact-too-large"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(
            f"the file is larger than {limit_bytes} bytes",
            remedy="upload a smaller file, or raise ROLLBOOK_API_MAX_ARTIFACT_BYTES",
        )


class ArtifactQuotaExceededError(Refused):
    """The workspace has not enough space left for the file; nothing was stored."""

    code = "artifact-quota-exceeded"

    def __init__(self, *, workspace: str, used_bytes: int, quota_bytes: int) -> None:
        super().__init__(
            f"the workspace {workspace} already uses {used_bytes} of its {quota_bytes} bytes for files",
            remedy="upload a smaller file, or ask the API's operator to raise ROLLBOOK_API_ARTIFACT_QUOTA_BYTES",
        )


class TooManyUploadsError(Unavailable):
    """The maximum number of files is arriving, in this workspace or in all."""

    code = "too-many-uploads"
    retry_after_s = 5

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail,
            remedy="wait for one to end, as Retry-After says; the API's operator sets the limits with "
            "ROLLBOOK_API_UPLOADS_AT_ONCE and ROLLBOOK_API_UPLOADS_AT_ONCE_EACH",
        )


class ArtifactNotFoundError(Unknown):
    """There is no artifact with this digest."""

    code = "artifact-not-found"

    def __init__(self, digest: str, *, field: str = "digest") -> None:
        super().__init__(
            f"the store holds no file {digest}",
            field=field,
            remedy=f"upload it first with PUT /v1/artifacts/{digest}",
        )


class DigestDiffersError(Refused):
    """The content that arrived does not have the digest in the path; nothing was stored."""

    code = "artifact-digest-differs"

    def __init__(self, *, named: str, found: str) -> None:
        super().__init__(
            f"the received bytes have the digest {found}, not {named}",
            field="digest",
            remedy="recompute the file's digest, or send the file again",
        )


class UploadCutShortError(Refused):
    """The connection ended before the file did, or nothing came for too long."""

    code = "upload-cut-short"

    def __init__(self) -> None:
        super().__init__("the upload ended before the whole file arrived", remedy="send the file again")


class NotAModelError(Refused):
    """The file is not a model of the stated format; it was inspected, never loaded."""

    code = "artifact-is-no-model"

    def __init__(self, *, artifact_format: ArtifactFormat, reason: str) -> None:
        super().__init__(
            f"the file is not a valid {artifact_format} model: {reason}",
            field="artifact",
            remedy=f"{SAVING_CALLS[artifact_format]}; if it has another format, name that format",
        )


class UnservableModelError(Refused):
    """The file is a valid model of its format, but no engine can serve it."""

    code = "artifact-cannot-be-served"

    def __init__(self, detail: str, *, artifact_format: ArtifactFormat, remedy: str) -> None:
        super().__init__(f"no engine can run this {artifact_format} model: {detail}", field="artifact", remedy=remedy)


class AdapterDoesNotFitError(Refused):
    """The adapter was made for a model other than its parent."""

    code = "adapter-does-not-fit"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the adapter does not fit its parent: {detail}",
            field="artifact.parent",
            remedy="name the version that the adapter was trained for",
        )


class RangeNotSatisfiableError(Refused):
    """The range is outside the file."""

    code = "range-not-satisfiable"

    def __init__(self, *, size_bytes: int) -> None:
        super().__init__(
            f"the file has {size_bytes} bytes",
            field="Range",
            remedy="request a range inside the file, or omit the range",
        )


class ArtifactStoreUnavailableError(Unavailable):
    """The disk cannot be written or read now."""

    code = "artifact-store-unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the artifact store cannot be used now ({reason})",
            remedy="free some space or repair the disk, then try again; nothing was stored",
        )
