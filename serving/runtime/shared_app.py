"""The program "shared runtime": several instances in one process, each on its own port.

Small models need little memory compared with the libraries that run them, so a process that holds many saves most of
it. The price is that a crash ends all of them; the agent decides which may share a process, and restarts them.
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import msgspec
import structlog
import uvloop

from infra.arguments import take_no_arguments
from infra.confinement.confine import confine_as_told
from infra.errors import CannotStartError
from infra.logs import configure_logs
from infra.settings import load_settings
from infra.shutdown import ended_or_set, run_until_stopped
from serving.runtime.app import DRAIN_LIMIT_S, RuntimeSettings, serve_instance
from serving.runtime.app import PREFIX as RUNTIME_PREFIX
from serving.runtime.process_watch import watch_process
from serving.runtime.shared_orders import Begin, End, Hold, Order, Taken, line

PREFIX = "ROLLBOOK_SHARED_RUNTIME_"
_PEER = struct.Struct("3i")
_BACKLOG = 128
_THREADS = 64
_MAX_ORDER_BYTES = 64 * 1024

_log = structlog.get_logger(__name__)


class SharedRuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the process, from its environment; instances have their own settings."""

    address: Annotated[str, msgspec.Meta(min_length=1, description="name of the abstract Unix socket for orders")]
    watch_pid: Annotated[int, msgspec.Meta(ge=0, description="exit when this process ends; 0: none")] = 0
    idle_seconds: Annotated[float, msgspec.Meta(gt=0, description="exit after this time without an instance")] = 30.0


class _Instance:
    """One instance in this process. Its task ends when the instance has ended, for whatever reason."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._deadline_s = DRAIN_LIMIT_S
        self.stopping = asyncio.Event()
        self.ended = asyncio.Event()

    def end(self, *, deadline_s: float = DRAIN_LIMIT_S) -> None:
        """Ask it to stop; requests not answered by the deadline are aborted."""
        self._deadline_s = min(self._deadline_s, deadline_s)
        self.stopping.set()

    async def run(self) -> None:
        structlog.contextvars.bind_contextvars(instance_id=self._settings.instance_id)
        body = asyncio.ensure_future(serve_instance(self._settings, self.stopping))
        try:
            await ended_or_set(body, self.stopping)
            await asyncio.wait_for(body, self._deadline_s)
        except TimeoutError:
            _log.error("drain_cut_short", drain_seconds=self._deadline_s)
        except CannotStartError as error:
            _log.error("cannot_start", reason=str(error))
        except Exception:  # noqa: BLE001  one instance's failure must not end the others
            _log.exception("instance_failed")
        finally:
            self.ended.set()


class SharedRuntime:
    """The instances of this process, by boot. Used from one event loop."""

    def __init__(self) -> None:
        self._instances: dict[str, _Instance] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self._emptied.set()

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its instance or its peer is gone."""
        try:
            order = await _order(reader)
            instance, taken = self._take(order)
            writer.write(line(taken))
            await writer.drain()
            if instance is not None:
                await self._hold(instance, reader)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            _log.warning("order_not_understood", reason=str(error))
        finally:
            writer.close()

    async def wait_until_idle(self, idle_s: float) -> None:
        """Return once there has been no instance for a while."""
        while True:
            await self._emptied.wait()
            await asyncio.sleep(idle_s)
            if self._emptied.is_set():
                return

    async def stop(self) -> None:
        """End all instances."""
        for instance in self._instances.values():
            instance.end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _take(self, order: Order | None) -> tuple[_Instance | None, Taken]:
        match order:
            case Begin(environment=environment):
                try:
                    settings = load_settings(RuntimeSettings, RUNTIME_PREFIX, environment)
                except CannotStartError as error:
                    return None, Taken(error=str(error))
                return self._begin(settings), Taken(pid=os.getpid())
            case Hold(boot_id=boot_id) if boot_id in self._instances:
                return self._instances[boot_id], Taken(pid=os.getpid())
            case Hold(boot_id=boot_id):
                return None, Taken(error=f"boot {boot_id!r} is not here")
            case _:
                return None, Taken(error="a connection starts an instance or takes one over")

    def _begin(self, settings: RuntimeSettings) -> _Instance:
        instance = self._instances[settings.boot_id] = _Instance(settings)
        self._emptied.clear()

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            del self._instances[settings.boot_id]
            if not self._instances:
                self._emptied.set()

        task = asyncio.create_task(instance.run(), name=settings.instance_id)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return instance

    async def _hold(self, instance: _Instance, reader: asyncio.StreamReader) -> None:
        listening = asyncio.ensure_future(self._listen(instance, reader))
        try:
            await ended_or_set(listening, instance.ended)
            if instance.stopping.is_set():
                await instance.ended.wait()
        finally:
            listening.cancel()

    async def _listen(self, instance: _Instance, reader: asyncio.StreamReader) -> None:
        """Read until the peer asks to stop, or is gone, which does not stop the instance."""
        while (order := await _order(reader)) is not None:
            if isinstance(order, End):
                instance.end(deadline_s=order.deadline_s)
                return


def main(argv: list[str] | None = None) -> int:
    """Serve instances on request, until stopped or idle for a while."""
    take_no_arguments("shared runtime", "Serve several models in one process.", argv)
    configure_logs("runtime")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_stopped(_run, drain_seconds=DRAIN_LIMIT_S))


async def _run(stopping: asyncio.Event) -> None:
    confine_as_told(os.environ)
    settings = load_settings(SharedRuntimeSettings, PREFIX, os.environ)
    # Model loads and recorder shutdowns of all instances run there; the few default threads would make them wait.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="instances"))
    runtime = SharedRuntime()
    async with AsyncExitStack() as stack:
        if settings.watch_pid:
            stack.enter_context(watch_process(settings.watch_pid, stopping.set))
        await stack.enter_async_context(_taking_orders(settings.address, runtime))
        idle = asyncio.ensure_future(runtime.wait_until_idle(settings.idle_seconds))
        try:
            await ended_or_set(idle, stopping)
        finally:
            idle.cancel()
        await runtime.stop()


@asynccontextmanager
async def _taking_orders(address: str, runtime: SharedRuntime) -> AsyncIterator[None]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"\0{address}")
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotStartError(f"orders cannot be taken at {address!r} ({error.strerror})") from error

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _is_ours(writer):
            await runtime.serve_connection(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(serve_connection, sock=listener, limit=_MAX_ORDER_BYTES)
    try:
        yield
    finally:
        server.close()


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Return whether the peer runs as the same user: an abstract socket has no file mode to ensure it."""
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(peer)
    return bool(user == os.geteuid())


async def _order(reader: asyncio.StreamReader) -> Order | None:
    """Read the next order, or return None once the peer is gone."""
    text = await reader.readline()
    return msgspec.json.decode(text, type=Order) if text else None


if __name__ == "__main__":
    raise SystemExit(main())
