"""The last lines of an engine's log, for quoting in a reason."""

from pathlib import Path

import msgspec

from infra.supervisor.log_file import LogFile

_MAX_LINES = 4
_MAX_LINE = 300
_READ_BYTES = 16_384
_TOLD = ("reason", "error", "exception")


def quote_log_end(log: Path, *, instance_id: str = "") -> str:
    """Return "its log NAME ends with: LINE | LINE", the newest last, with structured lines made readable.

    If an instance is given, lines of other instances in the same process are left out.
    """
    text = LogFile(log).tail(max_bytes=_READ_BYTES)
    lines = [line for each in text.splitlines() if (line := _readable(each, instance_id))]
    if not lines:
        return f"its log {log.name} is empty"
    return f"its log {log.name} ends with: {' | '.join(lines[-_MAX_LINES:])}"


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
