"""Looks up known vulnerabilities of every locked dependency, with pip-audit.

Ends with 0 when all were looked up and none is known, 1 when one is known, and 2 when something could not be looked up:
a database that is out of reach, or does not know a package, says nothing about it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "environments").glob("*/*.txt"))
FOUND, NOT_LOOKED = 1, 2
_TIMEOUT_S = 900
_SHOWN = 5
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\+]+)")


def main() -> int:
    """Audit, and say in the last line what the outcome means."""
    pinned = {*_pins_of(_exported()), *(pin for lock in LOCKS for pin in _pins_of(lock.read_text(encoding="utf-8")))}
    # The database knows each name once a file, and another environment may pin another version.
    answers = [_audited(batch) for batch in _batches(pinned)]
    looked = [each for answer in answers if answer is not None for each in answer]
    return report(looked, pinned=len(pinned))


def report(looked: list[dict[str, Any]], *, pinned: int) -> int:
    """Print what was found, and what was not looked up; `looked` has pip-audit's entries of `pinned` dependencies."""
    known = [each for each in looked if "skip_reason" not in each]
    vulnerable = [each for each in known if each["vulns"]]
    for each in vulnerable:
        for one in each["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version"
            _say(f"{each['name']} {each['version']}: {', '.join([one['id'], *one['aliases']])}, fixed in {fixed}")
    missing = pinned - len(known)
    reasons = sorted({each["skip_reason"] for each in looked if "skip_reason" in each})
    for reason in reasons[:_SHOWN]:
        _say(f"could not look: {reason}")
    if missing:
        nothing = "nothing was checked" if not known else f"{len(known)} others were checked"
        _say(f"audit: COULD NOT LOOK up {missing} of {pinned} locked dependencies; {nothing}")
    if vulnerable:
        _say(f"audit: FOUND known vulnerabilities in {len(vulnerable)} of {len(known)} dependencies")
        return FOUND
    if missing or not pinned:
        return NOT_LOOKED
    _say(f"audit: no known vulnerability in {pinned} locked dependencies")
    return 0


def _exported() -> str:
    command = ["uv", "export", "--frozen", "--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace"]
    return subprocess.run([*command, "--quiet"], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _pins_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and public versions: a build of the same release has the same vulnerabilities."""
    for line in text.splitlines():
        if pin := _PIN.match(line):
            yield pin["name"].lower(), pin["version"]


def _batches(pinned: set[tuple[str, str]]) -> Iterator[dict[str, str]]:
    left = sorted(pinned)
    while left:
        batch = dict(reversed(left))
        yield batch
        left = [pin for pin in left if batch[pin[0]] != pin[1]]


def _audited(batch: dict[str, str]) -> list[dict[str, Any]] | None:
    """Return what pip-audit says of each dependency, None where it could not say anything."""
    with tempfile.TemporaryDirectory() as folder:
        requirements, answer = Path(folder, "requirements.txt"), Path(folder, "answer.json")
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in sorted(batch.items())))
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
        options = ["--requirement", str(requirements), "--format", "json", "--output", str(answer)]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        try:
            ended = subprocess.run(
                [*command, *options], env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
            return _entries(answer.read_text(encoding="utf-8"))
        except subprocess.TimeoutExpired:
            _say(f"could not look: no answer within {_TIMEOUT_S} s")
        except (OSError, ValueError, KeyError):
            last = ended.stderr.strip().splitlines()[-1:] or ["pip-audit gave no answer"]
            _say(f"could not look: {last[0]}")
    return None


def _entries(answer: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    return entries


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
