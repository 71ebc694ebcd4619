"""Makes, once for a Java and a set of jars, an archive of loaded classes that halves what a node's start costs.

The archive is only a shortcut: with a Java that cannot make or read one, the node runs without it.
"""

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from infra.errors import CannotStartError
from infra.kafka.distribution import locked

_DUMP_TIMEOUT_SECONDS = 60
_log = structlog.get_logger(__name__)

RunOnce = Callable[[Sequence[str], Path], None]
"""Runs a node with these further options of Java in a scratch folder until it is ready, and ends it in good order."""


def class_archive(java: Path, jars: Path, run_once: RunOnce) -> list[str]:
    """Return the options that let Java read the archive, making it first when it is not there.

    Two nodes that start at once make it once. That a Java cannot make one is kept as an
    empty file, so that not every start tries again.
    """
    archive = jars.with_name(f"{jars.name}-{_identity(java)}.jsa")
    try:
        with locked(jars.parent):
            if not archive.exists():
                _make(java, archive, run_once)
        return [_reading(archive)] if archive.stat().st_size else []
    except (OSError, CannotStartError) as error:
        _log.warning("class_archive_failed", error=str(error))
        return []


def _identity(java: Path) -> str:
    # An archive fits one build of Java. To ask that Java for its version would take longer than to look at its file.
    binary = java.resolve()
    found = binary.stat()
    return hashlib.sha256(f"{binary} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:16]


def _make(java: Path, archive: Path, run_once: RunOnce) -> None:
    began = time.monotonic()
    _log.info("class_archive_started", java=str(java))
    work = Path(tempfile.mkdtemp(dir=archive.parent, prefix=".archiving-"))
    try:
        made = work / archive.name
        try:
            # A Java need not have an archive of its own classes to build on: the one that comes with Rollbook has none.
            # This one stays where it was made, as the archive above it names its place.
            platform = archive.with_suffix(".platform.jsa")
            _dump_platform(java, platform)
            run_once([_reading(platform), f"-XX:ArchiveClassesAtExit={made}", "-Xlog:disable"], work)
        except (subprocess.SubprocessError, TimeoutError) as error:
            _log.warning("class_archive_failed", error=str(error))
        made.touch()
        made.rename(archive)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _log.info("class_archive_finished", seconds=round(time.monotonic() - began, 1), file=str(archive))


def _dump_platform(java: Path, archive: Path) -> None:
    subprocess.run(
        [java, "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={archive}", "-Xlog:disable"],
        capture_output=True,
        timeout=_DUMP_TIMEOUT_SECONDS,
        check=True,
    )


def _reading(archive: Path) -> str:
    return f"-XX:SharedArchiveFile={archive}"
