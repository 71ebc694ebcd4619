"""How an engine of a kind is started and asked."""

from pathlib import Path
from typing import Protocol

import msgspec

from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.instance_book import InstanceRecord


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One start: what is to run, from which model directory, under which record, and where it spools."""

    deployment: Deployment
    model: Path
    record: InstanceRecord
    spool: Path


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start; the environment comes on top of the little that every engine inherits.

    `inherits` are variables of the agent's environment that it has too, where they are set: the operator's settings.
    `is_forked` where the fork server runs the same program; then `libraries` are the modules that it has loaded.
    `may_share` where the environment can be that of one instance among others in a process; `is_shared` is such a
    process.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    inherits: tuple[str, ...] = ()
    is_forked: bool = False
    libraries: tuple[str, ...] = ()
    may_share: bool = False
    is_shared: bool = False


class Launcher(Protocol):
    """Starts the engines of some artifact formats.

    Guarantees: the process listens at the record's port on the agent's `bind_host` and nowhere else, answers
    `GET /rollbook/instance` with the record's boot and its own process id, ends on SIGTERM once its requests are
    answered or `drain_deadline_s` is over, and ends with the supervisor.
    """

    @property
    def start_deadline_s(self) -> float:
        """Return how long an engine of this kind may take until it is ready."""
        ...

    @property
    def drain_deadline_s(self) -> float:
        """Return how long the requests in progress may take at a stop."""
        ...

    def command(self, order: Order) -> Command:
        """Return what is to be started.

        Raises:
            CannotServeError: this host or this version lacks something; the reason says what to do.
        """
        ...

    def client(self, model: Path, *, port: int) -> EngineClient:
        """Return what speaks to the engine that runs a model directory."""
        ...
