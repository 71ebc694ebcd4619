import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra import ports

PORT = 1_000_000 + 100 * os.getpid()
"""No port, and so none that another run of these tests on this machine claims at the same time."""
NEXT = PORT + 1


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Draw these ports one after another; all are free."""
    numbers: list[int] = []
    monkeypatch.setattr(random.SystemRandom, "randint", lambda *_: numbers.pop(0))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    yield numbers
    assert numbers == []


def test_a_port_is_picked_once(drawn: list[int]) -> None:
    drawn += [PORT, PORT, NEXT]

    assert (ports.free_port(), ports.free_port()) == (PORT, NEXT)


def test_a_port_that_another_process_picked_is_left_to_it_until_it_ends(drawn: list[int]) -> None:
    picker = "import sys\nfrom infra import ports\nassert ports.claim(int(sys.argv[1]))\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", picker, str(PORT + 10)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        drawn += [PORT + 10, NEXT + 10]
        picked = ports.free_port()
        other.communicate(b"\n", timeout=60)
    drawn.append(PORT + 10)

    assert (picked, ports.free_port()) == (NEXT + 10, PORT + 10)


def test_old_claims_are_given_up(drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_MAX_CLAIMS", 1)
    drawn += [PORT + 20, NEXT + 20, PORT + 20]

    assert [ports.free_port() for _ in range(3)] == [PORT + 20, NEXT + 20, PORT + 20]
