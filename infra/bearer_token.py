"""The bearer token of a program of ours, read for each call because it may be replaced."""

import re
from pathlib import Path

from infra.errors import TokenUnreadableError

_TOKEN = re.compile(r"[\x21-\x7e]{1,1000}")


def read_bearer_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        TokenUnreadableError: the file is missing or does not hold a token; it may come back.
    """
    try:
        text = path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise TokenUnreadableError(f"the token {path} cannot be read ({error})") from error
    if not _TOKEN.fullmatch(text):
        raise TokenUnreadableError(f"{path} does not hold a token; put it back from a backup")
    return text
