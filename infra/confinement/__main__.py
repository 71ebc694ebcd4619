"""Confines itself as its environment says, and becomes another program: `python -m infra.confinement PROGRAM ARG…`."""

import os
import sys

from infra.confinement.confine import confine_as_told
from infra.errors import CannotStartError


def main(argv: list[str]) -> int:
    """Become the program; return only if that is impossible."""
    try:
        confine_as_told(os.environ)
        os.execv(argv[0], argv)  # noqa: S606  a program and its arguments, as the agent wrote them
    except (CannotStartError, OSError) as error:
        sys.stderr.write(f"{argv[0]} cannot be started: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
