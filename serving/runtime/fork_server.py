"""The program "fork server": starts runtimes as forks of itself, with their libraries already loaded.

scikit-learn, scipy and skops take seconds to import and are the same for every model. They are loaded for the first
order that names them; a fork has them immediately, and shares their memory with its siblings until it writes to it.
Forking is only safe while no other Python thread runs, so nothing is served and no event loop is created before the
fork.

Our standard input is a socket whose other end the only client holds, so we end when it does. Forks outlive us.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeAlias

import msgspec

from infra.arguments import take_no_arguments
from serving.runtime import app, shared_app
from serving.runtime.fork_orders import Forked, ForkOrder

Program: TypeAlias = Callable[[list[str]], int]

_MAX_ORDER_BYTES = 64 * 1024


def main(argv: list[str] | None = None) -> int:
    """Fork runtimes until the client disconnects."""
    take_no_arguments("fork server", "Start runtimes as forks that share their libraries.", argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as client:
        _serve(client)
    return 0


def _serve(client: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not client:
                    _reap(selector, key)
                elif not _answer(client, selector):
                    return


def _answer(client: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Handle one order; return False once the client is gone."""
    message, descriptors, _, _ = socket.recv_fds(client, _MAX_ORDER_BYTES, maxfds=1, flags=socket.MSG_CMSG_CLOEXEC)
    if not message:
        return False
    order = msgspec.json.decode(message, type=ForkOrder)
    _load(order.libraries)
    if order.environment is None:
        client.send(msgspec.json.encode(Forked()))
        return True
    (log,) = descriptors
    try:
        pid = os.fork()
        if pid == 0:
            _become_runtime(shared_app.main if order.is_shared else app.main, order.environment, log)
        # It is our child and not reaped yet, so its id cannot belong to another process.
        process = os.pidfd_open(pid)
    except OSError as error:
        client.send(msgspec.json.encode(Forked(error=f"no process can be started: {error.strerror}")))
        return True
    finally:
        os.close(log)
    selector.register(process, selectors.EVENT_READ, pid)
    socket.send_fds(client, [msgspec.json.encode(Forked(pid=pid))], [process])
    return True


def _load(libraries: Sequence[str]) -> None:
    missing = [library for library in libraries if library not in sys.modules]
    for library in missing:
        import_module(library)
    if missing:
        # What is loaded now is never garbage-collected, so no fork has to copy it for reference counts.
        gc.collect()
        gc.freeze()


def _reap(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    selector.unregister(key.fileobj)
    os.close(key.fd)
    os.waitpid(key.data, 0)


def _become_runtime(program: Program, environment: Mapping[str, str], log: int) -> NoReturn:
    """Leave the fork server's state behind and run as if freshly started."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        # Especially the client's socket, which has to close when the fork server is gone.
        os.closerange(3, max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(environment)
        code = program([])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  a process's outermost level: any error goes to its log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # The fork server's exit handlers are not for us.
        os._exit(code)


if __name__ == "__main__":
    raise SystemExit(main())
