"""Spoils values in the memory of a running process, as a broken memory module would."""

import re
from collections.abc import Iterator
from pathlib import Path

# What nothing was ever written to is most of a process's address space, and holds nothing to spoil.
_WRITTEN_TO = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw.*\n(?:[A-Z]\w*: .*\n)*?Rss: +(?P<held>\d+) kB", re.MULTILINE
)


def spoil(pid: int, *, content: bytes, replacement: bytes) -> int:
    """Write over every copy of some bytes in a process's memory, and return how many there were."""
    assert len(content) == len(replacement)
    count = 0
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        for start, end in _regions(pid):
            try:
                memory.seek(start)
                held = memory.read(end - start)
            except OSError:
                # Regions of the kernel cannot be read.
                continue
            at = held.find(content)
            while at >= 0:
                memory.seek(start + at)
                memory.write(replacement)
                count += 1
                at = held.find(content, at + len(content))
    return count


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for match in _WRITTEN_TO.finditer(Path(f"/proc/{pid}/smaps").read_text()):
        if int(match["held"]):
            yield int(match["start"], 16), int(match["end"], 16)
