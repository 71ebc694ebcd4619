"""The agent's side of the fork server: one persistent process, which is asked for engines one after the other."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec
import structlog

from serving.runtime.fork_orders import Forked, ForkOrder
from workers.serving_agent.engine_log import quote_log_end
from workers.serving_agent.engine_process import EngineProcess, engine_log, environment_of
from workers.serving_agent.errors import MayServeLaterError
from workers.serving_agent.launchers.base import Command

# The first order for a library waits until it is loaded, which takes many seconds on a busy host.
_ANSWER_S = 60.0
_MAX_ANSWER_BYTES = 4_096

_log = structlog.get_logger(__name__)

_Process: TypeAlias = tuple[int, int]
"""A process id and the pidfd that holds it."""


class ForkServer:
    """Starts engines as forks. The server is started when it is first needed, and again if it is gone."""

    def __init__(self, command: Command, *, environ: Mapping[str, str], log: Path) -> None:
        self._command = command
        self._environ = environ
        self._log = log
        self._turn = asyncio.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._client: socket.socket | None = None

    async def warm(self, libraries: Sequence[str]) -> None:
        """Have the server load libraries before the first engine needs them."""
        async with self._turn:
            # Whoever orders an engine gets the error.
            with suppress(MayServeLaterError):
                await asyncio.to_thread(self._ask, ForkOrder(libraries=tuple(libraries)), [])

    async def start(self, command: Command, *, log: Path) -> EngineProcess:
        """Start an engine in its own session, with its output appended to a log.

        Raises:
            OSError: the log cannot be written.
            MayServeLaterError: no process can be started.
        """
        async with self._turn:
            asking = asyncio.ensure_future(asyncio.to_thread(self._fork, command, log))
            try:
                pid, pidfd = await asyncio.shield(asking)
            except asyncio.CancelledError:
                # Otherwise it would start all the same, without anyone knowing.
                await _end_unwanted(asking)
                raise
        return EngineProcess(pid, child=None, pidfd=pidfd)

    async def close(self) -> None:
        """Stop the server; its forks continue."""
        if self._server is not None:
            # Whoever waits for its answer notices immediately.
            self._server.kill()
        async with self._turn:
            self._disconnect()

    def _fork(self, command: Command, log: Path) -> _Process:
        with engine_log(log) as output:
            environment = environment_of(command, self._environ)
            order = ForkOrder(libraries=command.libraries, is_shared=command.is_shared, environment=environment)
            forked, descriptors = self._ask(order, [output.fileno()])
        if forked.error:
            raise _not_started(forked.error)
        (pidfd,) = descriptors
        return forked.pid, pidfd

    def _ask(self, order: ForkOrder, logs: Sequence[int]) -> tuple[Forked, list[int]]:
        try:
            client = self._connected()
            socket.send_fds(client, [msgspec.json.encode(order)], logs)
            message, descriptors, _, _ = socket.recv_fds(
                client, _MAX_ANSWER_BYTES, maxfds=1, flags=socket.MSG_CMSG_CLOEXEC
            )
            return msgspec.json.decode(message, type=Forked), descriptors
        except (OSError, msgspec.DecodeError) as error:
            self._disconnect()
            raise _not_started(f"the fork server does not answer ({error}); {quote_log_end(self._log)}") from error

    def _connected(self) -> socket.socket:
        if self._client is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(_ANSWER_S)
            with theirs, engine_log(self._log) as output:
                self._server = subprocess.Popen(
                    self._command.arguments,
                    env=environment_of(self._command, self._environ),
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._client = ours
            _log.info("fork_server_started", pid=self._server.pid)
        return self._client

    def _disconnect(self) -> None:
        client, server = self._client, self._server
        self._client = self._server = None
        if client is not None:
            client.close()
        if server is not None:
            # It holds nothing worth waiting for, and may itself hang.
            server.kill()
            server.wait()


async def _end_unwanted(asking: asyncio.Future[_Process]) -> None:
    with suppress(OSError, MayServeLaterError):
        _, pidfd = await asking
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def _not_started(reason: str) -> MayServeLaterError:
    return MayServeLaterError("engine-not-started", reason)
