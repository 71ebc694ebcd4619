import hashlib
import re
from pathlib import Path

import pytest

from infra.errors import CannotStartError
from infra.kafka.distribution import LOCK_FILE, LockedJar, cache_directory, install_jars, locked_jars


def test_the_cache_is_the_users_unless_another_is_chosen() -> None:
    assert cache_directory({}) == Path.home() / ".cache" / "rollbook"
    assert cache_directory({"XDG_CACHE_HOME": "/c"}) == Path("/c/rollbook")
    assert cache_directory({"XDG_CACHE_HOME": "/c", "ROLLBOOK_CACHE_DIR": "/own"}) == Path("/own")


def test_the_lock_file_names_each_jar_once_with_its_digest_and_no_place() -> None:
    jars = locked_jars()

    assert {jar.version for jar in jars if jar.artifact_id.startswith("kafka")} == {"4.4.0"}
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert not re.search(r"https?://|/home|/root|/tmp", LOCK_FILE.read_text())


def test_a_jar_with_another_digest_is_refused_and_nothing_is_laid(tmp_path: Path) -> None:
    def forged(jar: LockedJar, work: Path) -> Path:
        path = work / jar.file_name
        path.write_bytes(b"forged")
        return path

    with pytest.raises(CannotStartError, match=r"has digest .*, but the lock file says"):
        install_jars({"ROLLBOOK_CACHE_DIR": str(tmp_path)}, fetch=forged)

    assert [entry.name for entry in (tmp_path / "kafka").iterdir()] == ["lock"]


def test_jars_are_laid_once(tmp_path: Path) -> None:
    content = b"a jar"
    lock = tmp_path / "lock.toml"
    lock.write_text(
        f'[[dependencies]]\ngroupId="g"\nartifactId="a"\nversion="1"\nsha256="{hashlib.sha256(content).hexdigest()}"\n'
    )
    fetched = []

    def fetch(jar: LockedJar, work: Path) -> Path:
        fetched.append(jar.file_name)
        path = work / jar.file_name
        path.write_bytes(content)
        return path

    first = install_jars({"ROLLBOOK_CACHE_DIR": str(tmp_path)}, lock_file=lock, fetch=fetch)
    second = install_jars({"ROLLBOOK_CACHE_DIR": str(tmp_path)}, lock_file=lock, fetch=fetch)

    assert (first, fetched) == (second, ["a-1.jar"])
    assert (first / "a-1.jar").read_bytes() == content
