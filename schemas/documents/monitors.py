"""The document of a monitor."""

from typing import Literal, TypeAlias

from schemas.documents.streams import StreamBase
from schemas.events.monitors import Finding, MonitorTerms, Outcome, ReferenceFixed, ReferenceStretch

MonitorPhase: TypeAlias = Literal["learning", "watching", "paused"]


class Monitor(StreamBase, frozen=True, kw_only=True):
    """A monitor: what it watches, and what it found last.

    While it is `learning`, its reference is not fixed. The evidence is that of the windows from `since_ms` on, without
    those of the deployments in `left_out`; it began with the event at `begun_at_version` of the stream.
    `judged_until_ms` is the end of the last window of the look that made the answer, 0 before the first. `outcome` and
    `findings` are of that look; a drift stays the answer until someone acknowledges it.
    """

    name: str
    phase: MonitorPhase
    endpoint_id: str
    endpoint_name: str
    terms: MonitorTerms
    stretch: ReferenceStretch
    reference: ReferenceFixed | None
    since_ms: int
    begun_at_version: int
    left_out: tuple[str, ...]
    judged_until_ms: int
    outcome: Outcome | None
    reason: str
    judged_at: str | None
    findings: tuple[Finding, ...]
