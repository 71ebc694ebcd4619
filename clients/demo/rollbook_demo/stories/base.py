"""What a story of the demo is: one module each, told on a running stack, and judged by the same evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from rollbook import Rollbook
from rollbook.cli.profile import Profile
from rollbook.resources import Rollout, Version
from rollbook_demo.load import Answer, Progress
from rollbook_demo.narration import Narrator


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a story is told: a stack that is up, a client of it, and a directory of its own."""

    rollbook: Rollbook
    profile: Profile
    narrator: Narrator
    gateway_url: str
    directory: Path

    @property
    def admin_token(self) -> str:
        """Return the token of the stack's administrator."""
        return (self.profile.data_dir / "secrets" / "admin.token").read_text(encoding="utf-8").strip()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a story left: its three versions, the rollouts of the last two, and when it began (Unix ms)."""

    endpoint: str
    began_at_ms: int
    versions: tuple[Version, ...]
    promoted: Rollout
    rolled_back: Rollout


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A story that was told, with what its callers saw."""

    outcome: Outcome
    progress: Progress
    answers: list[Answer]
    sql: str = ""
    """The story's own question to ClickHouse; without it, how many requests each version answered and how fast."""


class Story(Protocol):
    """Serves a first version, has a better one promoted and a worse one rolled back, under live traffic."""

    @property
    def title(self) -> str:
        """Return what `--help` says of it, one line."""

    @property
    def endpoint(self) -> str:
        """Return the endpoint that it creates, on a model of the same name."""

    @property
    def own_version(self) -> str:
        """Return the file and options with which a person registers a version of their own."""

    @property
    def settings(self) -> Mapping[str, str]:
        """Return what its stack is started with, besides the environment's own."""

    def what_is_missing(self) -> str | None:
        """Return what must be installed first and how, or None when all is there. Asked before anything starts."""

    def play(self, stage: Stage) -> Played:
        """Tell it.

        Raises:
            TimeoutError: something did not happen in its time.
        """
