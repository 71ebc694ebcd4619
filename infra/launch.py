"""Starts one program in a process of its own: ``python -m infra.launch <program>``.

The program is an entry point of the group ``rollbook.programs``, or, after ``--``, any
command. The process ends when the supervisor that ROLLBOOK_LAUNCHED_BY names ends.
"""

import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import NoReturn

from infra.parent_death import die_with_parent

GROUP = "rollbook.programs"
LAUNCHED_BY = "ROLLBOOK_LAUNCHED_BY"
EXIT_USAGE = 64


def launched(program: str) -> tuple[str, ...]:
    """Write the command line that starts a program by its entry point."""
    return (sys.executable, "-m", "infra.launch", program)


def launched_command(*command: str) -> tuple[str, ...]:
    """Write the command line that starts any command bound to the supervisor's life."""
    return (sys.executable, "-m", "infra.launch", "--", *command)


def main(argv: list[str]) -> int:
    if launcher := os.environ.pop(LAUNCHED_BY, ""):
        die_with_parent(int(launcher))
    match argv:
        case ["--", command, *rest]:
            return _become(command, rest)
        case [program]:
            _do_without_colours()
            return _load(program)([])
        case _:
            return _refuse("usage: python -m infra.launch <program>")


def _become(command: str, rest: list[str]) -> NoReturn:
    os.execvp(command, [command, *rest])  # noqa: S606 - no shell is wanted


def _do_without_colours() -> None:
    # structlog imports rich wherever it is installed, a fifth of a second of each start, for terminals that no
    # program of the stack writes to.
    sys.modules["rich"] = None  # type: ignore[assignment]  # what Python itself takes for "not installed"


def _load(program: str) -> Callable[[list[str]], int]:
    found = entry_points(group=GROUP, name=program)
    if not found:
        known = ", ".join(sorted(point.name for point in entry_points(group=GROUP)))
        return lambda _argv: _refuse(f"there is no program {program!r}; there are {known}")
    loaded: Callable[[list[str]], int] = next(iter(found)).load()
    return loaded


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
