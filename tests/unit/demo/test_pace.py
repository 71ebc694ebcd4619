"""The demo asks less of a machine that does not keep up, and no less than that of one that does."""

from typing import cast

import pytest

from rollbook_demo.narration import Narrator
from rollbook_demo.pace import LOOK_EVERY_S, MAX_LAG_MS, MIN_REQUESTS_PER_S, Pace
from rollbook_demo.traffic import Traffic

BEHIND = MAX_LAG_MS + 1


class Scene:
    """The traffic and the narrator that a pace works on, and a clock of its own."""

    def __init__(self, requests_per_s: float = 200.0) -> None:
        self.requests_per_s = requests_per_s
        self.said: list[str] = []
        self.lag_ms: int | None = 0
        self.now_s = 0.0
        self.pace = Pace(cast("Traffic", self), cast("Narrator", self), lambda: self.lag_ms, clock=lambda: self.now_s)

    def set_rate(self, requests_per_s: float) -> None:
        self.requests_per_s = requests_per_s

    def say(self, line: str) -> None:
        self.said.append(line)

    def looks(self, *, times: int, lag_ms: int | None) -> None:
        self.lag_ms = lag_ms
        for _ in range(times):
            self.now_s += LOOK_EVERY_S
            self.pace.keep()


@pytest.mark.parametrize("lag_ms", [0, MAX_LAG_MS, None])
def test_a_machine_that_keeps_up_is_asked_for_all_of_it(lag_ms: int | None) -> None:
    scene = Scene()

    scene.looks(times=100, lag_ms=lag_ms)

    assert (scene.requests_per_s, scene.said) == (200.0, [])


def test_one_late_look_slows_nothing_down() -> None:
    scene = Scene()

    for _ in range(20):
        scene.looks(times=1, lag_ms=BEHIND)
        scene.looks(times=1, lag_ms=0)

    assert scene.requests_per_s == 200.0


def test_a_view_that_stays_behind_halves_the_rate_and_says_why() -> None:
    scene = Scene()

    scene.looks(times=2, lag_ms=12_000)

    assert scene.requests_per_s == 100.0
    assert "100 requests/s" in scene.said[0]
    assert "12 s behind" in scene.said[0]


def test_the_view_has_time_to_catch_up_before_the_rate_is_halved_again() -> None:
    scene = Scene()

    scene.looks(times=2 + 4, lag_ms=BEHIND)
    assert scene.requests_per_s == 100.0

    scene.looks(times=2, lag_ms=BEHIND)
    assert scene.requests_per_s == 50.0


def test_it_is_never_halved_below_what_a_story_needs() -> None:
    scene = Scene()

    scene.looks(times=1_000, lag_ms=BEHIND)

    assert MIN_REQUESTS_PER_S <= scene.requests_per_s < 2 * MIN_REQUESTS_PER_S
