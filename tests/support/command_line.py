"""The `rollbook` command in this process, as a person types it."""

import json
import re
from typing import Any

import msgspec
import pytest

from rollbook.cli.main import main

# What the test's own process logs meanwhile, as an API that runs in it does, is printed at the same place.
_LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\w+ *\] .*\n", re.MULTILINE)


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """Return what a command that fails says: one sentence on standard error, below click's usage where it is."""
        assert self.code != 0, self.out
        *usage, said = self.err.strip().splitlines()
        assert all(line.startswith(("Usage: ", "Try '")) or not line for line in usage), self.err
        return said


class CommandLine:
    """Types commands, each with the same options before it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *options: str) -> None:
        self._capsys = capsys
        self._options = options

    def type(self, *arguments: str) -> Typed:
        """Run a command until it ends."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*self._options, *arguments])
        printed = self._capsys.readouterr()
        return Typed(code=int(ended.value.code or 0), out=_LOGGED.sub("", printed.out), err=printed.err)

    def told(self, *arguments: str) -> str:
        """Return what a command that works prints."""
        typed = self.type(*arguments)
        assert typed.code == 0, typed.err
        return typed.out

    def answer(self, *arguments: str) -> Any:  # noqa: ANN401  any JSON
        """Return what a command that works prints with --json."""
        return json.loads(self.told("--json", *arguments))

    def refusal(self, *arguments: str) -> str:
        """Return what a command that fails says, which is not a traceback."""
        typed = self.type(*arguments)
        assert typed.code != 0, typed.out
        assert "Traceback" not in typed.err
        return typed.err
