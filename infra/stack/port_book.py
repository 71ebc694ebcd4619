"""The ports of a stack: chosen once, written down, and the same after each restart."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from infra.data_directory import write_atomically
from infra.errors import PortTakenError
from infra.ports import claim, free_port, is_free
from infra.stack.addresses import LOOPBACK

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_log = structlog.get_logger(__name__)


class WantedPort(msgspec.Struct, frozen=True):
    """A port to assign: ``fixed`` is required by a person, ``preferred`` is optional; ``host`` is what binds it."""

    fixed: int | None = None
    preferred: int | None = None
    host: str = LOOPBACK


def assign_ports(path: Path, wanted: Mapping[str, WantedPort]) -> dict[str, int]:
    """Give each purpose a port that is free now, the one of last time where that is possible.

    Raises PortTakenError when a fixed port is taken.
    """
    book: dict[str, int] = msgspec.json.decode(path.read_bytes(), type=dict[str, int]) if path.exists() else {}
    chosen: dict[str, int] = {}
    for purpose, want in wanted.items():
        taken = {*chosen.values(), *(port for name, port in book.items() if name != purpose)}
        chosen[purpose] = _choose(purpose, want, book.get(purpose), taken)
        claim(chosen[purpose])
    write_atomically(path, msgspec.json.format(msgspec.json.encode({**book, **chosen})))
    return chosen


def _choose(purpose: str, want: WantedPort, last: int | None, taken: set[int]) -> int:
    if want.fixed is not None:
        if not _wait_until_free(want.fixed, host=want.host, patient=want.fixed == last):
            raise PortTakenError(port=want.fixed, purpose=purpose)
        return want.fixed
    # A stack that was killed a moment ago may still be letting go of its ports.
    if last is not None and _wait_until_free(last, host=want.host, patient=True):
        return last
    if last is not None:
        _log.warning("port_of_last_time_taken", purpose=purpose, port=last)
    if want.preferred and want.preferred not in taken and is_free(want.preferred, host=want.host):
        return want.preferred
    return free_port(avoid=taken)


def _wait_until_free(port: int, *, host: str, patient: bool) -> bool:
    deadline = time.monotonic() + (_PATIENCE_SECONDS if patient else 0.0)
    while not is_free(port, host=host):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
