"""How a kind of engine is started and called."""

from pathlib import Path
from typing import Protocol

import msgspec

from infra.confinement.confine import Confinement
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.instance_book import InstanceRecord


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One start: what to run, from which model directory, under which record, and the paths that are for it alone.

    `spool` is what it captures, `capture` the file with the policy for that, `scratch` what it needs only itself.
    """

    deployment: Deployment
    model: Path
    record: InstanceRecord
    spool: Path
    capture: Path
    scratch: Path


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start; the environment is added to the few variables that every engine inherits.

    `inherits` are variables that it also takes from the agent's environment, if they are set: the operator's settings.
    `is_forked` means that the fork server runs the same program; `libraries` are then the modules that it has loaded.
    `may_share` means that the environment also works for one instance among others in a process; `is_shared` is such a
    process. `confinement` is all that the process may use; None means whatever the agent may.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    inherits: tuple[str, ...] = ()
    is_forked: bool = False
    libraries: tuple[str, ...] = ()
    may_share: bool = False
    is_shared: bool = False
    confinement: Confinement | None = None


class Launcher(Protocol):
    """Starts the engines of some artifact formats.

    Guarantees: the process listens at the record's port on the agent's `bind_host` and nowhere else, answers
    `GET /rollbook/instance` with the record's boot and its own process id, ends on SIGTERM once its requests are
    answered or `drain_deadline_s` is over, and ends with the supervisor.
    """

    @property
    def start_deadline_s(self) -> float:
        """Return how long an engine of this kind may take to become ready."""
        ...

    @property
    def drain_deadline_s(self) -> float:
        """Return how long requests in progress may take when the engine stops."""
        ...

    def command(self, order: Order) -> Command:
        """Return what to start.

        Raises:
            CannotServeError: this host or this version lacks something; the reason says what to do.
        """
        ...

    def client(self, model: Path, *, port: int) -> EngineClient:
        """Return a client for the engine that runs a model directory."""
        ...
