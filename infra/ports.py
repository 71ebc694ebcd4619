"""Finds ports that are free and likely to stay so."""

import os
import random
import socket
from collections import deque
from collections.abc import Collection
from pathlib import Path

from infra.errors import PortTakenError

EVERY_ADDRESS = ""
"""A port that is free on every address of the machine is free on any one of them."""

_MIN_PORT = 15_000
_KERNEL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MAX_CLAIMS = 256
_claims: deque[int] = deque()


def is_free(port: int, *, host: str = EVERY_ADDRESS) -> bool:
    """Return whether a server could listen on the port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_free(port: int, *, purpose: str, host: str = EVERY_ADDRESS) -> None:
    """Raise PortTakenError when the port cannot be listened on."""
    if not is_free(port, host=host):
        raise PortTakenError(port=port, purpose=purpose)


def free_port(*, avoid: Collection[int] = ()) -> int:
    """Pick a free port below the range that the kernel hands to outgoing connections.

    A port of that range could be taken by any connection between two starts of
    the server that owns it. For the same reason the port stays claimed while this
    process lives, or until it has picked `_MAX_CLAIMS` others: another process of
    ours that picks ports gets other ones.
    """
    highest = max(_MIN_PORT + 1_000, _first_ephemeral_port() - 1)
    for _ in range(1_000):
        port = random.SystemRandom().randint(_MIN_PORT, highest)
        if port not in avoid and is_free(port) and claim(port):
            return port
    raise PortTakenError(port=highest, purpose="a free port")


def free_ports(count: int, *, avoid: Collection[int] = ()) -> list[int]:
    """Pick several different free ports."""
    picked: list[int] = []
    for _ in range(count):
        picked.append(free_port(avoid={*avoid, *picked}))
    return picked


def claim(port: int) -> bool:
    """Claim a port among our processes, and return whether it was unclaimed.

    The kernel drops the claims of a process that ends. The claim is a name in Linux's abstract namespace of Unix
    sockets, and not the port itself: a server may bind that in whatever way it does. Where there is no such
    namespace, every claim succeeds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(f"\0rollbook-port-{port}")
        except FileNotFoundError:
            return True
        except OSError:
            return False
        _claims.append(name.detach())
    while len(_claims) > _MAX_CLAIMS:
        os.close(_claims.popleft())
    return True


def _first_ephemeral_port() -> int:
    try:
        return int(_KERNEL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
