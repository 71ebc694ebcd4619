from infra.clock import Clock, SystemClock
from tests.support.fakes import FakeClock


def test_the_system_clock_counts_milliseconds_of_this_century() -> None:
    clock: Clock = SystemClock()

    assert clock.now_ms() > 1_700_000_000_000
    assert clock.monotonic() <= clock.monotonic()


def test_the_fake_clock_moves_only_when_told() -> None:
    fake = FakeClock(now_ms=5)
    clock: Clock = fake
    before = clock.monotonic()

    fake.advance(seconds=1.5)

    assert (clock.now_ms(), clock.monotonic() - before) == (1_505, 1.5)
