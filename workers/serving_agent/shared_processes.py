"""Processes that hold several instances: which instances share one, and each instance as if it had its own process.

Only instances of one workspace and one format share a process, and never two of one endpoint: a crash must not take
down an instance together with its substitute, nor a candidate with the version that it is compared with.
"""

import asyncio
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec
import structlog

from infra.confinement.confine import Confinement
from serving.runtime.shared_orders import Begin, End, Hold, Order, Taken, line
from workers.serving_agent.engine_process import EngineProcess, find_engine, is_set_within
from workers.serving_agent.errors import MayServeLaterError
from workers.serving_agent.instance_book import InstanceRecord
from workers.serving_agent.launchers.base import Command

_ANSWER_S = 60.0
_GRACE_S = 5.0
_POLL_S = 0.01
_MAX_ANSWER_BYTES = 4_096

_log = structlog.get_logger(__name__)

StartProcess = Callable[[Command, str], Awaitable[EngineProcess]]
"""Starts a process with a name."""


class Kin(NamedTuple):
    """What instances in a shared process have in common."""

    workspace: str
    format: str


class Guest:
    """One instance in a shared process. Implements `Process`: it ends when its connection does."""

    def __init__(self, process: EngineProcess, connection: socket.socket, *, on_end: Callable[[], None]) -> None:
        self._process = process
        self._connection = connection
        self._on_end = on_end
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(connection, self._read)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def started_at(self) -> float:
        return self._process.started_at

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        return await is_set_within(self._ended, timeout_s)

    async def stop(self, *, deadline_s: float) -> None:
        self.end(deadline_s=deadline_s)
        if not await self.wait(deadline_s + _GRACE_S):
            # It does not even abort the instance, so it hangs. The others in it restart, as after a crash.
            _log.error("shared_process_killed", pid=self.pid)
            self._process.kill()
            await self.wait(_GRACE_S)

    def end(self, *, deadline_s: float) -> None:
        """Ask the instance to stop, immediately if it is loading, and to abort what it has not answered by then."""
        if not self.has_ended:
            with suppress(OSError):
                self._connection.send(line(End(deadline_s=deadline_s)))

    def _read(self) -> None:
        try:
            is_open = bool(self._connection.recv(_MAX_ANSWER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            is_open = False
        if not is_open:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()
            self._ended.set()
            self._on_end()


class Seat:
    """A place in a shared process, kept until its instance has ended or it is left."""

    def __init__(self, host: "_Host", endpoint_id: str, *, on_left: Callable[["_Host"], None]) -> None:
        self._host = host
        self._endpoint_id = endpoint_id
        self._on_left = on_left
        host.guests.append(endpoint_id)

    @property
    def name(self) -> str:
        """Return the name of the process."""
        return self._host.name

    @property
    def process(self) -> EngineProcess:
        """Return the process itself."""
        return self._host.process

    async def begin(self, environment: dict[str, str]) -> Guest:
        """Start an instance with these settings; the seat is freed when it ends, or if it does not start.

        Raises:
            MayServeLaterError: the process did not accept it.
        """
        return await self._taken(Begin(environment=environment))

    async def hold(self, boot_id: str) -> Guest:
        """Take over an instance that an earlier agent started; the seat is freed when it ends, or if it does not exist.

        Raises:
            MayServeLaterError: the process does not have it.
        """
        return await self._taken(Hold(boot_id=boot_id))

    def leave(self) -> None:
        """Free the seat."""
        self._host.guests.remove(self._endpoint_id)
        self._on_left(self._host)

    async def _taken(self, order: Order) -> Guest:
        asking = asyncio.ensure_future(self._ask(order))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Otherwise it would start all the same, without anyone knowing.
            with suppress(MayServeLaterError):
                (await asking).end(deadline_s=0)
            raise

    async def _ask(self, order: Order) -> Guest:
        try:
            async with asyncio.timeout(_ANSWER_S):
                connection = await _place_order(self._host, order)
        except BaseException as error:
            self.leave()
            if isinstance(error, TimeoutError):
                self._host.process.kill()
            if isinstance(error, OSError | msgspec.DecodeError):
                raise _not_started(f"the shared process does not answer ({error!r})") from error
            raise
        return Guest(self._host.process, connection, on_end=self.leave)


class _Host:
    """A shared process and the endpoints of its instances.

    If `kin` is None, it is unknown, and the process takes no one.
    """

    def __init__(self, name: str, process: EngineProcess, kin: Kin | None) -> None:
        self.name = name
        self.process = process
        self.kin = kin
        self.guests: list[str] = []

    def learn(self, kin: Kin | None) -> None:
        """Keep what another of its instances says, where nothing was known."""
        self.kin = self.kin or kin

    def takes(self, kin: Kin, endpoint_id: str, *, limit: int) -> bool:
        return (
            self.kin == kin
            and len(self.guests) < limit
            and endpoint_id not in self.guests
            and not self.process.has_ended
        )


class SharedProcesses:
    """Gives instances a seat in an existing process or in a new one. Used from one event loop."""

    def __init__(
        self, *, limit: int, supervisor_pid: int, start: StartProcess, confinement: Callable[[Kin], Confinement | None]
    ) -> None:
        self._limit = limit
        self._supervisor_pid = supervisor_pid
        self._start = start
        self._confinement = confinement
        self._hosts: dict[str, _Host] = {}
        self._turn = asyncio.Lock()

    async def seat(self, kin: Kin, endpoint_id: str, *, like: Command) -> Seat:
        """Reserve a seat for an instance that `like` would start in its own process.

        Raises:
            MayServeLaterError: no process can be started.
            OSError: its log cannot be written.
        """
        async with self._turn:
            for host in self._hosts.values():
                if host.takes(kin, endpoint_id, limit=self._limit):
                    return self._seat_in(host, endpoint_id)
            return self._seat_in(await self._start_host(kin, like), endpoint_id)

    def found(self, record: InstanceRecord, kin: Kin | None) -> Seat | None:
        """Return the seat of an instance that an earlier agent started, or None if its process is gone."""
        host = self._hosts.get(record.shared)
        if host is None:
            process = find_engine(record.pid, started_at=record.process_started_at) if record.pid else None
            if process is None:
                return None
            host = self._hosts[record.shared] = _Host(record.shared, process, kin)
        host.learn(kin)
        return self._seat_in(host, record.endpoint_id)

    async def _start_host(self, kin: Kin, like: Command) -> _Host:
        number = next(n for n in range(len(self._hosts) + 1) if n not in set(map(number_of, self._hosts)))
        name = f"{number}-{secrets.token_hex(8)}"
        own = {"ADDRESS": _address(name), "WATCH_PID": str(self._supervisor_pid)}
        threads = {key: value for key, value in like.environment.items() if not key.startswith("ROLLBOOK_")}
        command = Command(
            arguments=(sys.executable, "-P", "-s", "-m", "serving.runtime.shared_app"),
            environment={**threads, **{f"ROLLBOOK_SHARED_RUNTIME_{key}": value for key, value in own.items()}},
            is_forked=like.is_forked,
            libraries=like.libraries,
            is_shared=True,
            confinement=self._confinement(kin),
        )
        host = self._hosts[name] = _Host(name, await self._start(command, name), kin)
        _log.info("shared_process_started", pid=host.process.pid, number=number)
        return host

    def _seat_in(self, host: _Host, endpoint_id: str) -> Seat:
        return Seat(host, endpoint_id, on_left=self._left)

    def _left(self, host: _Host) -> None:
        if not host.guests and self._hosts.pop(host.name, None) is not None:
            host.process.terminate()


def number_of(name: str) -> int:
    """Return the number of a shared process, which is reused once it has ended."""
    return int(name.partition("-")[0])


def _address(name: str) -> str:
    return f"rollbook-shared-{name}"


async def _connected(host: _Host) -> socket.socket:
    loop = asyncio.get_running_loop()
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(0)
        try:
            await loop.sock_connect(connection, f"\0{_address(host.name)}")
        except BaseException as error:
            connection.close()
            if not isinstance(error, OSError) or host.process.has_ended:
                raise
            # It was just forked and may not listen yet.
            await asyncio.sleep(_POLL_S)
        else:
            return connection


async def _place_order(host: _Host, order: Order) -> socket.socket:
    connection = await _connected(host)
    try:
        taken = await _answer(connection, order)
    except BaseException:
        connection.close()
        raise
    if taken.error:
        connection.close()
        raise _not_started(taken.error)
    return connection


async def _answer(connection: socket.socket, order: Order) -> Taken:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, line(order))
    answer = b""
    while not answer.endswith(b"\n"):
        part = await loop.sock_recv(connection, _MAX_ANSWER_BYTES)
        if not part:
            raise ConnectionResetError("it ended")
        answer += part
    return msgspec.json.decode(answer, type=Taken)


def _not_started(reason: str) -> MayServeLaterError:
    return MayServeLaterError("engine-not-started", reason)
