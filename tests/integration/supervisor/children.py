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


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.02)


def ordered(folder: str, name: str) -> NoReturn:
    """Write down when it came up and when it was told to go."""

    def say(what: str) -> None:
        with (Path(folder) / "order").open("a") as file:
            file.write(f"{name} {what}\n")

    def end(*_: object) -> NoReturn:
        say("down")
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    time.sleep(0.2)  # a slow start
    say("up")
    (Path(folder) / name).touch()
    sleep()


def crash() -> NoReturn:
    sys.exit(5)


def crash_when_told(path: str) -> NoReturn:
    """Live until there is the file, and die at once from then on."""
    wait_for(path)
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


def talk(path: str) -> NoReturn:
    sys.stdout.write("one\n")
    sys.stdout.flush()
    sys.stderr.write("two\n")
    wait_for(path)
    sys.stderr.write("three\n")
    sleep()


def serve(port: str) -> None:
    http.server.HTTPServer(("127.0.0.1", int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()


ROLES: dict[str, Callable[..., object]] = {
    role.__name__: role for role in (sleep, ordered, crash, crash_when_told, picky, deaf, parent, talk, serve)
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
