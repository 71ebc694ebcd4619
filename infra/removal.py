"""Removes folders that others have written to, however deep they are and whatever their modes."""

import shutil
import subprocess
from pathlib import Path

import structlog

_WITHIN_S = 600

_log = structlog.get_logger(__name__)


def remove_folder(folder: Path) -> bool:
    """Remove a folder with all that is in it; return whether it is gone. One that is not there is."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError):
        # Python calls itself for each level; the system's own programs do not.
        for command in (("chmod", "-R", "u+rwX"), ("rm", "-rf")):
            subprocess.run([*command, "--", str(folder)], check=False, capture_output=True, timeout=_WITHIN_S)
    is_gone = not folder.exists()
    if not is_gone:
        _log.error("folder_not_removed", folder=str(folder))
    return is_gone
