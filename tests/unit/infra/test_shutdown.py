import asyncio
import os
import signal

import pytest

from infra.errors import CannotStartError
from infra.shutdown import run_until_stopped


def signal_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_a_program_that_ends_by_itself_ends_well() -> None:
    async def main(stopping: asyncio.Event) -> None:
        assert not stopping.is_set()

    assert await run_until_stopped(main) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_program_drain(number: signal.Signals) -> None:
    drained = []

    async def main(stopping: asyncio.Event) -> None:
        asyncio.get_running_loop().call_soon(signal_self, number)
        await stopping.wait()
        drained.append(True)

    assert (await run_until_stopped(main), drained) == (0, [True])


async def test_a_failure_is_an_exit_code() -> None:
    async def main(stopping: asyncio.Event) -> None:
        raise RuntimeError("bug")

    assert await run_until_stopped(main) == 1


async def test_a_program_that_cannot_start_says_so_with_its_own_exit_code() -> None:
    async def main(stopping: asyncio.Event) -> None:
        raise CannotStartError("give me a port")

    assert await run_until_stopped(main) == 78


async def test_a_drain_that_takes_too_long_is_cut_short_and_counts_as_failure() -> None:
    cancelled = []

    async def main(stopping: asyncio.Event) -> None:
        asyncio.get_running_loop().call_soon(signal_self, signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    assert (await run_until_stopped(main, drain_seconds=0.01), cancelled) == (1, [True])


async def test_a_second_signal_ends_the_drain_at_once() -> None:
    async def main(stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(signal_self, signal.SIGTERM)
        await stopping.wait()
        loop.call_soon(signal_self, signal.SIGTERM)
        await asyncio.Event().wait()

    # The drain alone would end long after the test's own time is over.
    assert await run_until_stopped(main, drain_seconds=3_600) == 1
