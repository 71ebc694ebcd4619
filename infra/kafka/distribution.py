"""Lays the jars of Apache Kafka in the user's cache, exactly those that the lock file names.

The lock file is written by jgo's pure-Python resolver: ``python -m infra.kafka.distribution``
resolves again after a change of version here.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from infra.errors import CannotStartError

BROKER = "org.apache.kafka:kafka_2.13:4.4.0"
# Without a binding for slf4j the broker logs nothing at all. Its version is that of the broker's log4j.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
_PARALLEL_DOWNLOADS = 6
_TIMEOUT_SECONDS = 60

_log = structlog.get_logger(__name__)


class LockedJar(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the lock file."""

    group_id: str
    artifact_id: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact_id}-{self.version}.jar"


Fetch = Callable[[LockedJar, Path], Path]
"""Brings one jar into a folder and returns where it is; does not check it."""


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Name the per-user folder for what is downloaded once and shared by all stacks."""
    if chosen := environ.get("ROLLBOOK_CACHE_DIR"):
        return Path(chosen)
    if cache := environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "rollbook"
    return Path.home() / ".cache" / "rollbook"


def locked_jars(lock_file: Path = LOCK_FILE) -> list[LockedJar]:
    content = tomllib.loads(lock_file.read_text(encoding="utf-8"))
    return msgspec.convert(content["dependencies"], list[LockedJar])


def install_jars(environ: Mapping[str, str], *, lock_file: Path = LOCK_FILE, fetch: Fetch | None = None) -> Path:
    """Return the folder with all jars, downloading them first when it is not there.

    A folder under the final name is complete: it is renamed into place after every
    digest was checked. Two processes that start at once download once.
    """
    jars = locked_jars(lock_file)
    base = cache_directory(environ) / "kafka"
    final = base / hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]
    try:
        base.mkdir(parents=True, exist_ok=True)
        with locked(base):
            if not final.is_dir():
                _download(jars, base, final, fetch or _maven_fetch(environ))
    except OSError as error:
        raise CannotStartError(
            f"Kafka's jars cannot be installed in {base} ({error.strerror or error}); check the "
            "network and the disk, or point ROLLBOOK_MAVEN_URL to a mirror of Maven Central"
        ) from error
    return final


@contextmanager
def locked(base: Path) -> Iterator[None]:
    """Hold the lock of the folder of what is made once for all stacks."""
    with (base / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(jars: list[LockedJar], base: Path, final: Path, fetch: Fetch) -> None:
    _log.info("kafka_download_started", jars=len(jars))
    work = Path(tempfile.mkdtemp(dir=base, prefix=".laying-"))
    try:
        (work / "jars").mkdir()
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            for jar, path in zip(jars, pool.map(lambda jar: fetch(jar, work), jars), strict=True):
                _check(jar, path)
                path.rename(work / "jars" / jar.file_name)
        (work / "jars").rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _log.info("kafka_download_finished", folder=str(final))


def _check(jar: LockedJar, path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise CannotStartError(
            f"{jar.file_name} from the Maven repository has digest {found}, but the lock file says "
            f"{jar.sha256}; do not use that repository, or try again if a proxy broke the download"
        )


def _maven_fetch(environ: Mapping[str, str]) -> Fetch:
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second that only a first start pays

    repository = environ.get("ROLLBOOK_MAVEN_URL", MAVEN_CENTRAL).rstrip("/")

    def fetch(jar: LockedJar, work: Path) -> Path:
        context = MavenContext(
            repo_cache=work / "maven", local_repos=[], remote_repos={"central": repository}, timeout=_TIMEOUT_SECONDS
        )
        component = context.project(jar.group_id, jar.artifact_id).at_version(jar.version)
        try:
            return component.artifact().resolve()
        except RuntimeError as error:
            raise CannotStartError(
                f"{jar.file_name} is not at {repository}; point ROLLBOOK_MAVEN_URL to a mirror of Maven Central"
            ) from error

    return fetch


def write_lock_file(path: Path = LOCK_FILE) -> int:
    """Resolve the broker with all it needs at run time and write versions and digests."""
    from jgo.env._lockfile import LockFile  # noqa: PLC0415 - only the maintainer's command needs it
    from jgo.maven import MavenContext  # noqa: PLC0415 - the same

    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache), local_repos=[], timeout=_TIMEOUT_SECONDS)
        broker, rest = context.resolver.resolve([context.create_dependency(BROKER)])
        # Resolved by itself: jgo would let the versions that its parent manages rule over the broker's own.
        binding = context.create_dependency(LOG_BINDING)
        jars = [*broker, *rest, binding]
        lock = LockFile.from_resolved_dependencies(jars, environment_name="kafka", min_java_version=17)
        lock.save(path)
    return len(lock.dependencies)


if __name__ == "__main__":
    sys.stdout.write(f"{write_lock_file()} jars locked in {os.path.relpath(LOCK_FILE)}\n")
