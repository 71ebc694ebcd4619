"""Reads files that hold secrets. What cannot be used is refused in one sentence that never repeats its content."""

import re
from pathlib import Path

from infra.errors import CannotStartError


class SecretFileError(CannotStartError):
    """A file that should hold a secret is missing, cannot be read or holds something else."""

    def __init__(self, path: Path, problem: str, *, remedy: str) -> None:
        super().__init__(f"the secret {path} {problem}; {remedy}")
        self.problem = problem


def read_secret(path: Path, *, remedy: str) -> bytes:
    """Return what a file holds.

    Raises:
        SecretFileError: it is missing, empty or cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SecretFileError(path, "is missing", remedy=remedy) from error
    except IsADirectoryError as error:
        raise SecretFileError(path, "is a directory", remedy=remedy) from error
    except OSError as error:
        raise SecretFileError(path, f"cannot be read ({error.strerror})", remedy=remedy) from error
    if not content.strip():
        raise SecretFileError(path, "is empty", remedy=remedy)
    return content


def read_secret_text(path: Path, pattern: re.Pattern[str], *, what: str, remedy: str) -> str:
    """Return the text that a file holds, without white space around it.

    Raises:
        SecretFileError: it is missing, empty or cannot be read, or its text is not `what` the pattern describes.
    """
    text = read_secret(path, remedy=remedy).decode("ascii", "replace").strip()
    if not pattern.fullmatch(text):
        raise SecretFileError(path, f"does not hold {what}", remedy=remedy)
    return text
