"""What identifies a log on disk: an id that is made once in its folder, and is lost with it."""

import fcntl
import os
import re
from pathlib import Path
from uuid import uuid4

_FILE = "log-id"
_ID = re.compile(r"log-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def log_id_in(folder: Path) -> str:
    """Return the id of the log in a folder, which all programs that write or read it have in common.

    A host's name would not do: under the same name, another disk may hold nothing of what this one held.
    """
    with (folder / _FILE).open("a+b") as file:
        # Programs that start together must not make two.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = file.read().decode(errors="replace")
        if _ID.fullmatch(known):
            return known
        made = f"log-{uuid4()}"
        file.truncate(0)
        file.write(made.encode())
        file.flush()
        os.fsync(file.fileno())
        return made
