import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.event_feed.commits import Commits

NOT_EVEN_ON_A_BUSY_MACHINE_S = 20.0


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "relay.sock"))
        listener.settimeout(0)
        yield listener


def waiting(relay: socket.socket) -> int:
    """Take the nudges that have arrived, and count them."""
    count = 0
    while True:
        try:
            relay.recv(16)
        except BlockingIOError:
            return count
        count += 1


async def the_next(relay: socket.socket) -> None:
    async with asyncio.timeout(NOT_EVEN_ON_A_BUSY_MACHINE_S):
        await asyncio.get_running_loop().sock_recv(relay, 16)


async def test_the_relay_is_woken_at_once_and_for_what_follows_only_once(relay: socket.socket) -> None:
    commits = Commits(Path(relay.getsockname()))

    commits.committed(1)
    at_once = waiting(relay)
    for head in range(2, 100):
        commits.committed(head)
    in_succession = waiting(relay)
    await the_next(relay)
    afterwards = waiting(relay)

    commits.close()
    assert (at_once, in_succession, afterwards) == (1, 0, 0)


async def test_without_a_relay_those_who_wait_are_woken_all_the_same(tmp_path: Path) -> None:
    commits = Commits(tmp_path / "nowhere.sock")
    woken = asyncio.create_task(commits.wait_after(1, timeout_s=NOT_EVEN_ON_A_BUSY_MACHINE_S))
    await asyncio.sleep(0)

    commits.committed(1)
    commits.committed(2)

    assert await woken
    commits.close()
