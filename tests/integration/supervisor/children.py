"""The small programs that the tests put under supervision: ``python children.py <role> [<path> ...]``."""

import http.server
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def sleep() -> NoReturn:
    while True:
        time.sleep(1_000)


def ordered(folder: str, name: str) -> NoReturn:
    """Write down when it came up and when it was told to go."""

    def say(what: str) -> None:
        with (Path(folder) / "order").open("a") as file:
            file.write(f"{name} {what}\n")

    def end(*_: object) -> NoReturn:
        say("down")
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    time.sleep(0.2)
    say("up")
    (Path(folder) / name).touch()
    sleep()


def crash(path: str) -> NoReturn:
    """Live long enough once to be seen ready, and die at once from then on."""
    is_first = not Path(path).exists()
    with Path(path).open("a") as file:
        file.write(f"{time.time()}\n")
    if is_first:
        time.sleep(0.5)
    sys.exit(5)


def picky() -> NoReturn:
    sys.stdout.write(json.dumps({"event": "cannot_start", "reason": "Java is too old"}) + "\n")
    sys.exit(78)


def deaf(path: str) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).touch()
    sleep()


def parent(path: str) -> NoReturn:
    """Start a child that does not end with it."""
    child = subprocess.Popen([sys.executable, __file__, "sleep"], start_new_session=True)
    Path(path).write_text(str(child.pid))
    sleep()


def talk() -> NoReturn:
    sys.stdout.write("one\n")
    sys.stdout.flush()
    sys.stderr.write("two\n")
    time.sleep(0.5)
    sys.stderr.write("three\n")
    sleep()


def serve(port: str) -> None:
    http.server.HTTPServer(("127.0.0.1", int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()


ROLES: dict[str, Callable[..., object]] = {
    role.__name__: role for role in (sleep, ordered, crash, picky, deaf, parent, talk, serve)
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
