"""The last lines of an engine's log, for quoting in a reason."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.supervisor.log_file import LogFile

_MAX_LINES = 4
_MAX_LINE = 300
_MAX_ERRORS = 2
_READ_BYTES = 65_536
_ERROR = re.compile(r"(?<!raise )(?<!except )\b(?:\w+\.)*(?:[A-Z]\w*)?(?:Error|Exception)(?:: .*)?\Z")
"""How Python writes an error below its traceback, with whatever a logger put before it."""

_TOLD = ("reason", "error", "exception")


def quote_log_end(log: Path, *, instance_id: str = "") -> str:
    """Return "its log NAME ends with: LINE | LINE", the newest last, with structured lines made readable.

    Errors that stand above these lines follow, because an engine of several processes often ends by saying that another
    of them failed. If an instance is given, lines of other instances in the same process are left out.
    """
    text = LogFile(log).tail(max_bytes=_READ_BYTES)
    lines = [line for each in text.splitlines() if (line := _readable(each, instance_id))]
    if not lines:
        return f"its log {log.name} is empty"
    end = f"its log {log.name} ends with: {' | '.join(lines[-_MAX_LINES:])}"
    above = _errors_above(lines)
    return f"{end}; errors above: {' | '.join(above)}" if above else end


def _errors_above(lines: Sequence[str]) -> list[str]:
    """Return the last different errors above the quoted lines, the newest last."""
    quoted = {error for line in lines[-_MAX_LINES:] if (error := _error_in(line))}
    above = dict.fromkeys(error for line in lines[:-_MAX_LINES] if (error := _error_in(line)))
    return [error for error in above if error not in quoted][-_MAX_ERRORS:]


def _error_in(line: str) -> str:
    found = _ERROR.search(line)
    return found.group() if found else ""


def _readable(line: str, instance_id: str) -> str:
    text = "".join(character for character in line if character.isprintable()).strip()
    try:
        entry = msgspec.json.decode(text)
    except msgspec.DecodeError:
        entry = None
    if isinstance(entry, dict) and "event" in entry:
        if instance_id and entry.get("instance_id", instance_id) != instance_id:
            return ""
        texts = (str(entry[name]).strip().splitlines() for name in _TOLD if entry.get(name))
        text = ": ".join([str(entry["event"]), *(lines[-1] for lines in texts if lines)])
    return text if len(text) <= _MAX_LINE else f"{text[:_MAX_LINE]}…"
