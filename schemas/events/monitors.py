"""Facts about monitors: what is watched for drift, against which reference, and what was found."""

from typing import Annotated, Literal, TypeAlias

import msgspec

Detector: TypeAlias = Literal["input_drift", "prediction_drift"]
Outcome: TypeAlias = Literal["no_drift", "drift", "late", "no_data", "too_little_data"]
Lacking: TypeAlias = Literal["late", "no_data", "too_little_data"]
ScoreKind: TypeAlias = Literal["location", "spread", "outside", "missing", "category", "new"]
Movement: TypeAlias = Literal["up", "down"]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=300)]
Sentence: TypeAlias = Annotated[str, msgspec.Meta(max_length=1_000)]


HORIZON_MS = 30 * 24 * 3_600_000
"""The time for which a budget of false alarms is stated."""
SHARE_FOR_REFERENCE = 0.2
"""How much of it is for a reference whose means are further off than its margins say; the rest is for windows."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that do not matter, by kind of score.

    `location` and `spread` are in ranks of the reference: 0.02 of location means that a value of now exceeds one of
    then in up to 52 % of pairs, as after a shift by 0.07 standard deviations. The others are shares: 0.01 is a point.
    """

    location: float = 0.02
    spread: float = 0.02
    outside: float = 0.01
    missing: float = 0.01
    category: float = 0.01
    new: float = 0.01


class MonitorTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor watches and how often it may be wrong.

    Without `features` it watches all that the reference has. `false_alarm_budget` is the allowed probability of any
    false alarm within 30 days, over all features and looks. A window that ended `late_after_ms` ago and is not there
    yet is late. `settling_windows` of traffic show how rows depend on each other where the reference cannot.
    """

    detector: Detector
    features: tuple[str, ...]
    window_ms: int
    false_alarm_budget: float
    late_after_ms: int
    settling_windows: int
    bounds: Bounds


class ReferenceStretch(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the endpoint's past traffic: what these deployments were asked and answered, in Unix ms."""

    deployment_ids: tuple[str, ...]
    from_ms: int
    until_ms: int

    def whole_windows(self, window_ms: int) -> tuple[int, int]:
        """Return the begin of the first whole window and the end of the last one; there is none if they meet."""
        return -(-self.from_ms // window_ms) * window_ms, self.until_ms // window_ms * window_ms


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The strongest change of one feature.

    `began_at_ms` is the start of the window in which the change most likely began. `effect` is the mean of the score
    since then minus the reference's at the same hours, with a 99 % interval for a start known beforehand; since the
    start was chosen, the effect is somewhat overstated soon after an alarm. `reference` and `allowed` are the mean of
    the reference and the largest change that does not matter. `log_evidence` is log R, averaged over the effects.
    `category` is the one that a share is of, "" for other kinds.
    """

    feature: Word
    kind: ScoreKind
    category: Word
    direction: Movement
    began_at_ms: Count
    effect: float
    lower: float
    upper: float
    reference: float
    allowed: float
    rows: Count
    reference_rows: Count
    log_evidence: float


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the drift watch measured over the windows from `since_ms` up to `until_ms`, of which `windows` had rows.

    `begun_at_version` is the stream version of the event with which the evidence began.
    `log_evidence` is the logarithm of the monitor's statistic over all features, and `findings` are what changed most,
    strongest first. `lacking` says what keeps the windows from showing anything, and `lacking_reason` why. With
    `method`, the version of the calculation, the digests of the reference and of the windows say what it was made from:
    whoever has both gets the same look.
    """

    begun_at_version: Count
    since_ms: Count
    until_ms: Count
    windows: Count
    rows: Count
    log_evidence: float
    findings: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=500)]
    lacking: Lacking | None
    lacking_reason: Sentence
    reference_digest: Word
    windows_digest: Word
    method: Word


class MonitorCreated(msgspec.Struct, frozen=True, kw_only=True):
    """Someone had an endpoint watched, with the windows from `since_ms` on.

    `left_out` are the deployments whose windows do not count: a shadow is asked what another deployment answered.
    """

    name: str
    endpoint_id: str
    endpoint_name: str
    terms: MonitorTerms
    reference: ReferenceStretch
    since_ms: int
    left_out: tuple[str, ...]


class ReferenceFixed(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of the reference were read and kept, as the artifact with this digest; they stay what they are."""

    digest: str
    windows: int
    rows: int
    features: tuple[str, ...]


class ReferenceUnusable(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch of traffic has too little for a reference; it is read again until it has enough."""

    reason: str


class MonitorChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Someone changed what is watched; the evidence starts anew with the windows from `since_ms` on."""

    terms: MonitorTerms
    since_ms: int
    reason: str


class EvidenceBegun(msgspec.Struct, frozen=True, kw_only=True):
    """Another deployment is a shadow, or none is; the evidence starts anew with the windows from `since_ms` on."""

    since_ms: int
    left_out: tuple[str, ...]


class MonitorPaused(msgspec.Struct, frozen=True, kw_only=True):
    """Someone stopped the looks."""

    reason: str


class MonitorResumed(msgspec.Struct, frozen=True, kw_only=True):
    """Someone let the looks go on, with the windows from `since_ms` on."""

    since_ms: int
    reason: str


class MonitorRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Someone removed the monitor; its name is free."""

    reason: str


class DriftJudged(msgspec.Struct, frozen=True, kw_only=True):
    """A look changed the answer: to another outcome, or to other features that have drifted.

    An answer that stays the same is recorded once a day, so that the log shows that somebody looked.
    `log_threshold` is what the evidence was compared with. `reason` says in one sentence what is the matter.
    """

    outcome: Outcome
    reason: str
    look: Look
    log_threshold: float


class DriftAcknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """Someone has seen to a drift; the evidence starts anew with the windows from `since_ms` on."""

    since_ms: int
    reason: str


EVENTS: dict[str, type[msgspec.Struct]] = {
    "monitors.DriftAcknowledged.v1": DriftAcknowledged,
    "monitors.DriftJudged.v1": DriftJudged,
    "monitors.EvidenceBegun.v1": EvidenceBegun,
    "monitors.MonitorChanged.v1": MonitorChanged,
    "monitors.MonitorCreated.v1": MonitorCreated,
    "monitors.MonitorPaused.v1": MonitorPaused,
    "monitors.MonitorRemoved.v1": MonitorRemoved,
    "monitors.MonitorResumed.v1": MonitorResumed,
    "monitors.ReferenceFixed.v1": ReferenceFixed,
    "monitors.ReferenceUnusable.v1": ReferenceUnusable,
}
