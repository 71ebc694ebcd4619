"""Carries out the reactions of one process, from the log, for as long as the API runs."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from control_plane.event_feed.commits import Commits
from control_plane.event_store.codec import context_of
from control_plane.event_store.errors import NewerEventError
from control_plane.log.ports import LoggedEvent
from control_plane.log.reading import batches_of
from control_plane.ports import Actor, CommandContext, EventStore
from control_plane.processes.process import Process
from infra.metrics import Metrics
from schemas.catalogue import EVENT_TYPES, read_data
from schemas.envelope import Envelope, decode
from schemas.identifiers import DEFAULT_WORKSPACE
from schemas.upcasters import newest_type

_BATCH = 100
_SCANNED_AT_ONCE = 500
_WAIT_S = 30.0
_GATHER_S = 0.02
_log = structlog.get_logger(__name__)


class ProcessRunner:
    """Runs one process. The store has one writer, so there is one runner of each process, too."""

    def __init__(
        self, process: Process, store: EventStore, commits: Commits, *, new_command_id: Callable[[], str]
    ) -> None:
        self._process = process
        self._store = store
        self._commits = commits
        self._new_command_id = new_command_id
        self._types = tuple(name for name, struct in EVENT_TYPES.items() if newest_type(struct) in process.when)
        self.name = process.name
        self.position = 0

    async def run(self) -> None:
        """React to every event after the stored position, and then to those that come, until cancelled.

        Raises:
            Exception: whatever a reaction raised; run again, this begins with its event.
        """
        self.position = await self._resume()
        while not self._commits.is_closing:
            head = await self._store.log.head()
            events = await self._store.log.read_types(self._types, after=self.position, limit=_BATCH)
            for event in events:
                await self._react(event)
                self.position = event.position
            if len(events) < _BATCH:
                self.position = max(self.position, head)
                # A look costs as much as a command does, so there is not one for each.
                await asyncio.sleep(_GATHER_S)
                await self._commits.wait_after(self.position, timeout_s=_WAIT_S)

    async def _resume(self) -> int:
        stored = await asyncio.to_thread(self._store.reacted_until, self._process.name)
        if stored is not None:
            return stored
        # A restored log holds what followed before: go on after the event that the last of it followed from.
        position = await self._last_cause()
        await self._store.react(self._process.name, position, self._context(None), lambda _: None)
        _log.info("process_begins", process=self._process.name, position=position)
        return position

    async def _react(self, logged: LoggedEvent) -> None:
        envelope = decode(logged.canonical)
        event = read_data(envelope.type, envelope.data)
        reaction = self._process.when.get(type(event))
        if reaction is None:
            # Only a newer release can read it.
            return
        around, context = context_of(envelope), self._context(envelope)
        name, position = self._process.name, logged.position
        try:
            await self._store.react(name, position, context, lambda unit: reaction(unit, event, around))
        except NewerEventError as error:
            # No reaction can decide on such a stream, and those to other streams must not wait for a newer release.
            _log.warning("reaction_left_out", process=name, position=position, reason=str(error))
            await self._store.react(name, position, context, lambda _: None)

    async def _last_cause(self) -> int:
        """Return the position of the last event that something followed from, 0 where nothing ever did."""
        causes: dict[str, int] = {}
        last = 0
        async for batch in batches_of(self._store.log, limit=_SCANNED_AT_ONCE):
            for event in batch:
                envelope = decode(event.canonical)
                if envelope.type in self._types:
                    causes[envelope.id] = event.position
                if envelope.actor == self._process.actor:
                    last = max(last, causes.get(envelope.causationid, 0))
        return last

    def _context(self, cause: Envelope | None) -> CommandContext:
        workspace = cause.workspace if cause else DEFAULT_WORKSPACE
        actor = Actor(principal_id=self._process.actor, role="service", workspace=workspace)
        context = CommandContext.unasked(actor, self._new_command_id())
        if cause is None:
            return context
        return msgspec.structs.replace(context, correlation_id=cause.correlationid, causation_id=cause.id)


def show_positions(runners: Sequence[ProcessRunner], metrics: Metrics) -> None:
    """Show among a program's metrics how far each process is."""
    metrics.gauges(
        "rollbook_process_position",
        "Position up to which a process has reacted to the log.",
        label="process",
        read=lambda: {runner.name: float(runner.position) for runner in runners},
    )
