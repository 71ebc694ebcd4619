import asyncio
import threading

import pytest

from infra.background import Background, BackOff
from infra.metrics import Metrics
from tests.support.fakes import FakeClock

AT_ONCE = BackOff(first_s=0.0, max_s=0.0)
DEADLINE_S = 180.0


class Flaky:
    """Work that meets an error in each of its first runs, and waits in the next one until it is let go."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.runs = 0
        self.is_well = threading.Event()
        self.may_end = threading.Event()

    def run(self) -> None:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)
        self.is_well.set()
        self.may_end.wait(DEADLINE_S)

    async def run_in_loop(self) -> None:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)


@pytest.mark.parametrize("error", [ValueError("odd input"), SystemExit(3), MemoryError()])
def test_a_thread_goes_on_after_whatever_it_meets(error: BaseException) -> None:
    background, work, stopping = Background(back_off=AT_ONCE), Flaky(error, error), threading.Event()

    thread = background.thread("work", work.run, stopping=stopping)

    assert work.is_well.wait(DEADLINE_S)
    assert (background.failures, background.failing) == ({"work": 2}, ("work",))
    assert thread.is_alive()
    work.may_end.set()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_a_thread_that_is_to_stop_is_not_started_again() -> None:
    background, work, stopping = Background(), Flaky(ValueError("odd input")), threading.Event()
    stopping.set()

    background.thread("work", work.run, stopping=stopping).join(DEADLINE_S)

    assert (work.runs, background.failures) == (1, {"work": 1})


async def test_a_task_goes_on_after_an_error_and_after_the_end_of_what_it_waited_for() -> None:
    background, work = Background(back_off=AT_ONCE), Flaky(ValueError("odd input"), asyncio.CancelledError())

    await background.task("work", work.run_in_loop)

    assert (work.runs, background.failures) == (3, {"work": 2})


async def test_a_task_that_is_cancelled_ends() -> None:
    background = Background()
    has_begun = asyncio.Event()

    async def work() -> None:
        has_begun.set()
        await asyncio.Event().wait()

    task = background.task("work", work)
    await has_begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert background.failures == {"work": 0}


def test_pauses_double_up_to_a_bound_until_work_has_gone_well() -> None:
    back_off = BackOff(first_s=1.0, max_s=3.0, forget_after_s=60.0)

    assert [back_off.after(pause, lived_s=0.0) for pause in (0.0, 1.0, 2.0, 3.0)] == [1.0, 2.0, 3.0, 3.0]
    assert back_off.after(3.0, lived_s=60.0) == 1.0


def test_a_failure_is_told_for_a_minute_and_counted_for_ever() -> None:
    clock = FakeClock()
    background, metrics = Background(monotonic=clock.monotonic), Metrics()
    background.show_in(metrics)
    labels = {"work": "work"}

    background.failed("work", ValueError("odd input"))
    at_once = metrics.registry.get_sample_value("rollbook_background_failing", labels)
    clock.advance(seconds=60.0)

    assert at_once == 1.0
    assert metrics.registry.get_sample_value("rollbook_background_failing", labels) == 0.0
    assert metrics.registry.get_sample_value("rollbook_background_failures_total", labels) == 1.0
