"""What is asked of the view of feature summaries, and what it answers: for people, and for whoever detects drift."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas.measurement import Watermark

FeatureKind: TypeAlias = Literal["number", "category"]

MAX_FEATURES_ASKED = 512
MAX_FEATURE_NAME = 256


class AskFeatureSummaries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which time, in windows of which length, and of what; by default, of every feature of every deployment.

    Times are Unix milliseconds. A window begins at a multiple of its length. The first one is that of `from_ms` and the
    last one that of `to_ms` - 1, and both are whole.
    """

    from_ms: int
    to_ms: int
    window_ms: int = 3_600_000
    deployment_id: Annotated[str, msgspec.Meta(max_length=MAX_FEATURE_NAME)] | None = None
    features: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_FEATURE_NAME)], ...],
        msgspec.Meta(max_length=MAX_FEATURES_ASKED),
    ] = ()


class FeatureSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of one deployment in one window.

    `values` are the finite numbers or the texts. What is `missing` (null), `infinite`, `unreadable` or `cut` off by the
    capture policy is not among them. `counts` are of the numbers in each of the `bins`, which `infra/value_bins.py`
    defines; other features have `categories`, of which at most 256 are kept, and the `other` values. Sums are null
    without numbers, and where they are too large for a float.
    """

    start_ms: int
    deployment_id: str
    version_id: str
    feature: str
    kind: FeatureKind
    values: int
    missing: int
    infinite: int
    unreadable: int
    cut: int
    sum: float | None
    sum_of_squares: float | None
    minimum: float | None
    maximum: float | None
    bins: list[int]
    counts: list[int]
    categories: dict[str, int]
    other: int


class FeatureSummaries(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of windows, deployments and features. A window that ends after the watermark may still grow.

    What was captured is summarised: the capture policy may take a sample, or leave out tensors. The feature `status`
    counts the requests by HTTP status; the others are of those with 200.
    """

    items: list[FeatureSummary]
    watermark: Watermark
