"""What the autoscaler measures and what a scaling policy asks: shared by who measures, who decides and who replays."""

from collections import deque
from typing import Annotated

import msgspec

_Target = Annotated[float, msgspec.Meta(gt=0)]
_Duration = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas each deployment of an endpoint has; at least one target is given.

    `in_flight`, `queue_depth` and `tokens_waiting` are what one replica should have at most, `latency_ms` is the mean
    that requests should take. Replicas grow to what the load of now asks for, `cool_down_ms` after the last change;
    they shrink to what the highest load of the last `stabilisation_window_ms` asks for, never sooner than that after
    a change. With `min_replicas` 0 a deployment sleeps once no one asked it for `idle_before_zero_ms`.
    """

    min_replicas: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 1
    max_replicas: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    in_flight: _Target | None = None
    queue_depth: _Target | None = None
    latency_ms: _Target | None = None
    tokens_waiting: _Target | None = None
    tolerance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    cool_down_ms: _Duration = 5_000
    stabilisation_window_ms: _Duration = 60_000
    idle_before_zero_ms: _Duration = 300_000


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment must do, over all its replicas; a figure that is not available is null."""

    in_flight: float | None = None
    queue_depth: float | None = None
    latency_ms: float | None = None
    tokens_waiting: float | None = None

    def highest(self, other: "Load") -> "Load":
        """Return the higher of each figure."""
        return Load(
            in_flight=_higher(self.in_flight, other.in_flight),
            queue_depth=_higher(self.queue_depth, other.queue_depth),
            latency_ms=_higher(self.latency_ms, other.latency_ms),
            tokens_waiting=_higher(self.tokens_waiting, other.tokens_waiting),
        )


class LoadSample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a deployment. `is_complete` says that each source answered; `is_busy` that anybody asked it."""

    at_ms: int
    ready: int
    load: Load
    is_busy: bool
    is_complete: bool


class LoadMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """The last look, and what was seen before it without a gap.

    `scaling_version` is the stream version of the event that set policy or replicas, as the measurer knew it: a
    measurement of an earlier state is stale. `watched_ms` is how long each look has been complete, `idle_ms` how long
    no one asked for the deployment, `highest` the highest load within the policy's window.
    """

    scaling_version: int
    measured_at_ms: int
    ready: int
    now: Load
    highest: Load
    watched_ms: int
    idle_ms: int
    is_complete: bool


class LoadWindow:
    """Turns looks into measurements; the same looks give the same measurements, live and in a replay."""

    def __init__(self) -> None:
        self._samples: deque[LoadSample] = deque()
        self._watched_since_ms: int | None = None
        self._idle_since_ms: int | None = None

    def measure(self, sample: LoadSample, *, window_ms: int, scaling_version: int) -> LoadMeasurement:
        """Take in a look; an incomplete one starts the watch again, as no one knows what it missed."""
        if not sample.is_complete:
            self._watched_since_ms = None
        elif self._watched_since_ms is None:
            self._watched_since_ms = sample.at_ms
        if sample.is_busy or not sample.is_complete:
            self._idle_since_ms = None
        elif self._idle_since_ms is None:
            self._idle_since_ms = sample.at_ms
        self._samples.append(sample)
        while self._samples[0].at_ms < sample.at_ms - window_ms:
            self._samples.popleft()
        highest = Load()
        for each in self._samples:
            highest = highest.highest(each.load)
        return LoadMeasurement(
            scaling_version=scaling_version,
            measured_at_ms=sample.at_ms,
            ready=sample.ready,
            now=sample.load,
            highest=highest,
            watched_ms=_since(self._watched_since_ms, sample.at_ms),
            idle_ms=_since(self._idle_since_ms, sample.at_ms),
            is_complete=sample.is_complete,
        )


def _since(began_ms: int | None, now_ms: int) -> int:
    return 0 if began_ms is None else now_ms - began_ms


def _higher(one: float | None, other: float | None) -> float | None:
    given = [value for value in (one, other) if value is not None]
    return max(given, default=None)
