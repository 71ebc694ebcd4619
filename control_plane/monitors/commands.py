"""Commands on monitors, as their bodies arrive."""

from typing import Annotated

import msgspec

from schemas.events.monitors import Bounds, Detector

MINUTE_S = 60
MAX_WINDOW_S = 24 * 3_600
MAX_FEATURES = 500
DEFAULT_BUDGET = 0.1
DEFAULT_SETTLING_WINDOWS = 24

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
EndpointName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Feature = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Features = Annotated[tuple[Feature, ...], msgspec.Meta(max_length=MAX_FEATURES)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Budget = Annotated[float, msgspec.Meta(gt=0, lt=1)]
WindowSeconds = Annotated[int, msgspec.Meta(ge=MINUTE_S, le=MAX_WINDOW_S)]
SettlingWindows = Annotated[int, msgspec.Meta(ge=8, le=1_000)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ReferenceTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of past traffic, in Unix ms; until now, and of all deployments that have a share of the traffic now."""

    from_ms: Milliseconds
    until_ms: Milliseconds | None = None
    deployments: Annotated[tuple[EndpointName, ...], msgspec.Meta(max_length=100)] = ()


class CreateMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have an endpoint watched."""

    name: Name
    endpoint: EndpointName
    reference: ReferenceTraffic
    detector: Detector = "input_drift"
    features: Features = ()
    window_s: WindowSeconds = 3_600
    false_alarm_budget: Budget = DEFAULT_BUDGET
    settling_windows: SettlingWindows = DEFAULT_SETTLING_WINDOWS
    bounds: Bounds = Bounds()


class ChangeMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change what is named, and begin the evidence anew."""

    reason: Reason
    features: Features | None = None
    false_alarm_budget: Budget | None = None
    settling_windows: SettlingWindows | None = None
    bounds: Bounds | None = None


class PauseMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop the looks."""

    reason: Reason


class ResumeMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let the looks go on, with what comes from now on."""

    reason: Reason


class RemoveMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove the monitor, so that its name is free."""

    reason: Reason


class AcknowledgeDrift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that a drift was seen to; evidence is gathered anew from then on."""

    reason: Reason


class LeaveOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Report which deployments of the endpoint are shadows."""

    left_out: Annotated[tuple[Name, ...], msgspec.Meta(max_length=10)]


class FixReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Report where the windows of the reference are kept, or why there are too few."""

    digest: Digest | None
    windows: Count
    rows: Count
    features: Features = ()
    unusable_because: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
