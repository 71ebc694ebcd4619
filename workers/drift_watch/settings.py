"""What a monitor allows and when it may be wrong."""

import msgspec

from schemas.events.monitors import Bounds
from workers.drift_watch.errors import DriftWatchError

HOUR_MS = 3_600_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a monitor watches.

    `budget` is the allowed probability of any false alarm within `horizon_windows`, over all features and looks.
    `settling_windows` is how many windows of traffic show how rows depend on each other, where the reference cannot.
    With `bad_categories`, only the shares of these categories are watched, and only for a rise.
    """

    window_ms: int = HOUR_MS
    horizon_windows: int = 720
    budget: float = 0.1
    settling_windows: int = 24
    bounds: Bounds = Bounds()
    bad_categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse settings with which nothing could be promised."""
        if not 0 < self.budget < 1:
            raise DriftWatchError("the budget is a probability between 0 and 1")
        if min(self.window_ms, self.horizon_windows) < 1:
            raise DriftWatchError("windows and the horizon have a length of at least 1")
        if not all(0 <= bound < 1 for bound in msgspec.structs.astuple(self.bounds)):
            raise DriftWatchError("a bound is a number from 0 to below 1")
        if self.settling_windows < MIN_SETTLING_WINDOWS:
            raise DriftWatchError(f"dependence cannot be learnt from fewer than {MIN_SETTLING_WINDOWS} windows")


MIN_SETTLING_WINDOWS = 8
