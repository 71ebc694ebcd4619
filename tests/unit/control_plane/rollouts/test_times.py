"""How times and spans read."""

import pytest

from control_plane.rollouts.times import clock, measured_at_ms, span
from schemas.events.rollouts import RegionAway
from tests.support.builders import measurement
from tests.support.spec import BEGAN_MS

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("duration_ms", "written"),
    [
        (0, "0 s"),
        (5_040, "5.04 s"),
        (119_999, "120 s"),
        (90 * 60_000, "90 min"),
        (47 * HOUR_MS, "47 h"),
        (1_234 * 24 * HOUR_MS, "1,234 days"),
    ],
)
def test_a_span_is_a_plain_number(duration_ms: int, written: str) -> None:
    assert span(duration_ms) == written


@pytest.mark.parametrize(
    ("age_ms", "written"), [(24 * HOUR_MS, "22:13:20 UTC"), (25 * HOUR_MS, "2023-11-14 22:13:20 UTC")]
)
def test_a_time_of_more_than_a_day_ago_has_its_date(age_ms: int, written: str) -> None:
    assert clock(BEGAN_MS, now_ms=BEGAN_MS + age_ms) == written


def test_a_measurement_tells_what_time_it_is_by_its_records_or_by_how_long_a_region_is_away() -> None:
    away = RegionAway(region="us-east", epoch=3, since="2023-11-14T22:13:20.000Z", away_ms=60_000)
    seen = measurement(watermark_ms=BEGAN_MS, lag_ms=2_000)
    unseen = measurement(watermark_ms=0, lag_ms=None, away=(away,))

    assert (measured_at_ms(seen), measured_at_ms(unseen)) == (BEGAN_MS + 2_000, BEGAN_MS + 60_000)
