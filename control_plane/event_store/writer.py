"""The one thread that writes: takes commands from a bounded queue and commits those that wait in one transaction."""

import queue
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any, TypeAlias

import msgspec
import structlog

from control_plane.errors import RollbookError
from control_plane.event_store.answers import first_answer, keep_answer, key_of_answers
from control_plane.event_store.database import Database
from control_plane.event_store.errors import StoreUnavailableError
from control_plane.event_store.folded_states import FoldedStates
from control_plane.event_store.group import Group
from control_plane.event_store.unit_of_work import CommandUnit, Randomness
from control_plane.keys.errors import KeysUnavailableError
from control_plane.keys.key_file import KeyStore
from control_plane.ports import CommandContext, Executed, Reply, UnitOfWork
from infra.background import Background
from infra.clock import Clock

Command: TypeAlias = Callable[[UnitOfWork], Reply]

WORK = "event-store-writer"
NOTHING = Reply(status=200, body=b"{}", stream_version=None)
"""The reply of a command whose caller needs none."""
_TIDY_EVERY_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class Cause(msgspec.Struct, frozen=True):
    """The event that a command is the reaction of a process to."""

    process: str
    position: int


class Job(msgspec.Struct, frozen=True, eq=False):
    """A command on its way through the writer; `ticket` is the caller's own mark."""

    context: CommandContext
    command: Command
    ticket: Any
    cause: Cause | None = None


Outcome: TypeAlias = Executed | Exception
Deliver: TypeAlias = Callable[[list[tuple[Job, Outcome]], int | None], None]
"""Called in the writer's thread with what became of a group, and the log's head where the group moved it."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the writer. A group ends when nothing waits, or at the first of its two bounds."""

    waiting: int = 1_024
    group_commands: int = 64
    group_seconds: float = 0.005
    folded_states: int = 10_000


class Writer:
    """Runs commands one after another and delivers what became of them once it is durable."""

    def __init__(  # noqa: PLR0913  the writer's surroundings; all but the database by name
        self,
        database: Database,
        *,
        keys: KeyStore,
        clock: Clock,
        randomness: Randomness,
        deliver: Deliver,
        limits: Limits,
        background: Background,
    ) -> None:
        self.head = database.head()
        self.queue: queue.Queue[Job | None] = queue.Queue(limits.waiting)
        self._database = database
        self._keys = keys
        self._answers_key = key_of_answers(keys)
        self._clock = clock
        self._randomness = randomness
        self._deliver = deliver
        self._limits = limits
        self._states = FoldedStates(capacity=limits.folded_states)
        self._tidy_at = 0.0
        self._is_shredding_due = True
        self._is_stopping = False
        self._background = background
        self._thread: Thread | None = None

    def start(self) -> None:
        # Nothing tells it to stop but its queue: after a failure, too, the commands that wait are finished first.
        self._thread = self._background.thread(WORK, self._run, stopping=Event())

    def stop(self) -> None:
        """Let the waiting commands finish and end the thread; blocks until it has ended."""
        self.queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._shred_due_keys()
        while not self._is_stopping and (first := self.queue.get()) is not None:
            taken = [first]
            try:
                self._commit(self._take_group(taken), taken)
            except BaseException as error:  # noqa: BLE001  the rim of the only writer: its callers get the error, and it goes on
                self._background.failed(WORK, error)
                self._begin_again(taken)

    def _begin_again(self, taken: list[Job]) -> None:
        """Tell what the caller of each command can know, and forget what may no longer be what is committed."""
        unknown = StoreUnavailableError(
            "the event store met an error, and the command may have been carried out",
            remedy="check whether it was; with an idempotency key, just send it again",
        )
        self._deliver([(job, unknown) for job in taken], None)
        self._states = FoldedStates(capacity=self._limits.folded_states)
        self.head = self._database.head()

    def _take_group(self, taken: list[Job]) -> Iterator[Job]:
        """Yield the first command and all that come while the group runs, noting each as taken."""
        yield taken[0]
        ends_at = time.monotonic() + self._limits.group_seconds
        while len(taken) < self._limits.group_commands and time.monotonic() < ends_at:
            try:
                job = self.queue.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._is_stopping = True
                return
            taken.append(job)
            yield job

    def _commit(self, jobs: Iterator[Job], taken: list[Job]) -> None:
        try:
            outcomes, group = self._attempt(jobs)
        except Exception as error:  # noqa: BLE001  the rim of the thread: whatever a group meets, the writer lives on
            self._after_failure(taken, error)
            return
        head = group.head if group.head != self.head else None
        self.head = group.head
        group.close()
        self._is_shredding_due |= bool(group.keys.shredded)
        self._shred_due_keys()
        self._deliver(outcomes, head)

    def _after_failure(self, taken: list[Job], error: Exception) -> None:
        """Try each command of a failed group by itself, so that it fails only those that cannot be committed."""
        expected = isinstance(error, StoreUnavailableError | KeysUnavailableError)
        _log.error("group_not_committed", commands=len(taken), exc_info=None if expected else error, reason=str(error))
        if len(taken) == 1:
            self._deliver([(taken[0], error)], None)
            return
        for job in taken:
            self._commit(iter([job]), [job])

    def _attempt(self, jobs: Iterator[Job]) -> tuple[list[tuple[Job, Outcome]], Group]:
        with self._database.transaction():
            group = Group(self._database, committed=self._states, keys=self._keys, head=self.head)
            self._tidy()
            outcomes = [(job, self._outcome(group, job)) for job in jobs]
            if group.keys.added:
                # A key is durable before what it seals; one that ends up sealing nothing does no harm.
                self._keys.save(list(group.keys.added.values()))
            self._database.order_shredding(group.keys.shredded)
        return outcomes, group

    def _outcome(self, group: Group, job: Job) -> Outcome:
        try:
            with self._database.savepoint():
                return self._carry_out(group, job)
        except StoreUnavailableError:
            raise
        except RollbookError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001  a bug in a command is its caller's to report, not the group's
            return error

    def _carry_out(self, group: Group, job: Job) -> Executed:
        now_ms = self._clock.now_ms()
        repeated = first_answer(self._database, job.context, group.keys, now_ms=now_ms)
        if repeated is not None:
            return repeated
        cause = job.cause
        if cause is not None and not self._database.has_reacted(cause.process, cause.position):
            return Executed(reply=NOTHING, position=group.head, is_repeat=True)
        unit = CommandUnit(group, job.context, now_ms=now_ms, randomness=self._randomness)
        reply = job.command(unit)
        keep_answer(self._database, job.context, unit, reply, answers_key=self._answers_key)
        unit.finish()
        return Executed(reply=reply, position=unit.head, is_repeat=False)

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY_SECONDS
            self._database.forget_answers(now_ms=self._clock.now_ms())

    def _shred_due_keys(self) -> None:
        """Carry out what committed commands ordered; what fails now, a crash included, is tried again later."""
        if not self._is_shredding_due:
            return
        try:
            with self._database.transaction():
                ordered = self._database.ordered_shredding()
            if ordered:
                self._keys.shred(ordered)
                with self._database.transaction():
                    self._database.shredding_done(ordered)
        except Exception as error:  # noqa: BLE001  the rim of the thread: the writer lives on, and tries again
            expected = isinstance(error, StoreUnavailableError | KeysUnavailableError)
            _log.error("shredding_postponed", exc_info=None if expected else error, reason=str(error))
        else:
            self._is_shredding_due = False
