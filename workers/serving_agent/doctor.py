"""The program "doctor": says what protects this host's engines, by the kernel and by each engine that runs."""

import argparse
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from infra.errors import CannotStartError
from workers.serving_agent.engine_confinement import what_is_missing
from workers.serving_agent.engine_process import SAME_START_S
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.settings import PREFIX, AgentSettings, agent_settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NOTHING = "CapEff:\t0000000000000000"
_CONFINED = ("NoNewPrivs:\t1", "Seccomp:\t2", _NOTHING)
_RELAY = "serving.external.app"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    is_good: bool
    says: str


def main(argv: list[str] | None = None) -> int:
    """Print what was found; return 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="doctor", description="Say what protects this host's secrets and engines.")
    parser.add_argument("--data-dir", type=Path, default=Path("rollbook-data"), help="the data directory of the stack")
    arguments = parser.parse_args(argv)
    try:
        findings = list(examine(arguments.data_dir, os.environ))
    except CannotStartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for finding in findings:
        sys.stdout.write(f"{'ok' if finding.is_good else 'missing':<8} {finding.says}\n")
    return 0 if all(finding.is_good for finding in findings) else 1


def examine(data_dir: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the kernel, at the folder of secrets, and at the engines that run now.

    An operator's settings of the agent count if they are in the environment here too.

    Raises:
        CannotStartError: a variable of the agent is malformed.
    """
    settings = settings_of_this_host(data_dir, environ)
    missing = what_is_missing(settings, environ)
    yield from (Finding(is_good=False, says=sentence) for sentence in missing)
    if not missing:
        yield Finding(
            is_good=True,
            says="engines that start now reach only their own model, spool and port, and no process but themselves",
        )
    yield from _secrets(data_dir)
    yield from _engines(data_dir)


def settings_of_this_host(data_dir: Path, environ: Mapping[str, str]) -> AgentSettings:
    """Return the settings of an agent of this host, with what only a stack knows filled in."""
    filled = {"API_URL": "http://unused", "TOKEN_FILE": "/", "KAFKA_BOOTSTRAP": "unused:1", "READY_FILE": "/"}
    stated = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    own = {f"{PREFIX}{name}": value for name, value in filled.items()}
    return agent_settings({**own, **stated, f"{PREFIX}DATA_DIR": str(data_dir)})


def _secrets(data_dir: Path) -> Iterator[Finding]:
    folder = data_dir / "secrets"
    if not folder.is_dir():
        return
    open_to_others = [
        path
        for path in (folder, *sorted(folder.rglob("*")))
        if path.lstat().st_mode & _OTHERS and not path.is_symlink()
    ]
    if not open_to_others:
        yield Finding(is_good=True, says=f"only their owner reads the files in {folder}")
    for path in open_to_others:
        yield Finding(is_good=False, says=f"other users may open {path}; run: chmod go-rwx {path}")


def _engines(data_dir: Path) -> Iterator[Finding]:
    for book in sorted(data_dir.glob("agent/*/instances.json")):
        for record in InstanceBook(book).running():
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                process = psutil.Process(record.pid)
                # Relays run no model, and need the network.
                is_same = abs(process.create_time() - record.process_started_at) < SAME_START_S
                if is_same and _RELAY not in process.cmdline():
                    yield _engine(record)


def _engine(record: InstanceRecord) -> Finding:
    status = Path(f"/proc/{record.pid}/status").read_text(encoding="utf-8")
    is_confined = record.is_confined and all(line in status for line in _CONFINED)
    what = "is confined" if is_confined else "is not confined; restart it once the above is settled"
    return Finding(is_good=is_confined, says=f"the engine of {record.instance_id} (pid {record.pid}) {what}")


if __name__ == "__main__":
    raise SystemExit(main())
