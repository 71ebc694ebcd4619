"""Runs predictions of one engine in a few threads behind a bounded queue: excess load is rejected, not piled up.

A free thread immediately takes what waits: a single request, or many in one call if many arrived while it worked. So a
lone caller never waits for others, and the cost of a call is shared as soon as there is a queue.

Requests of a batch job are patient: they only get a thread while no other request waits, only a few of them may wait,
and they do not count against the others' limit.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import msgspec
import structlog

from serving.engines.base import Engine, Tensors
from serving.engines.errors import PredictionFailedError
from serving.runtime.batching import RowLimit, fits_together, is_batchable, joined, rows_of, split_rows
from serving.runtime.errors import InferenceFailedError, OverloadedError
from serving.runtime.statistics import Statistics

MAX_ROWS = 256
_MAX_PATIENT = 4
_NS_IN_MS = 1_000_000

_log = structlog.get_logger(__name__)


class HostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests one model may have in progress.

    `threads` calls of the engine run concurrently, and `queue_bound` requests can wait; a call that joins requests
    takes about `batch_ms` at most.
    """

    threads: int = 1
    queue_bound: int = 256
    batch_ms: float = 50.0


class Prediction(msgspec.Struct, frozen=True):
    """The outputs, and how long the engine worked on their call (without waiting in the queue)."""

    outputs: Tensors
    engine_ms: float


class _Waiting(msgspec.Struct, frozen=True):
    inputs: Tensors
    rows: int | None
    answer: asyncio.Future[Prediction]
    since_ns: int
    is_patient: bool = False


class _Call(msgspec.Struct, frozen=True):
    """One call of the engine: the result for each request, when it started and how long it took."""

    outcomes: list[Tensors] | Exception
    rows: int
    began_ns: int
    took_ns: int


class ModelHost:
    """Holds an engine once it is loaded, and counts what is in progress."""

    def __init__(self, limits: HostLimits) -> None:
        self._executor = ThreadPoolExecutor(max_workers=limits.threads, thread_name_prefix="predict")
        self._threads = limits.threads
        self._bound = limits.threads + limits.queue_bound
        self._row_limit = RowLimit(max_rows=MAX_ROWS, bound_ms=limits.batch_ms)
        self._engine: Engine | None = None
        self._is_closed = False
        self._batches = False
        self._waiting: deque[_Waiting] = deque()
        self._patient: deque[_Waiting] = deque()
        self._patient_in_flight = 0
        self._lock = Lock()
        self._working = 0
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.statistics = Statistics()

    def serve(self, engine: Engine, *, joins: bool) -> None:
        """Accept predictions from now on; waiting ones are joined if the engine keeps rows independent."""
        self._engine = engine
        self._batches = joins and is_batchable(engine.signature)

    async def idle(self) -> None:
        """Wait until nothing is in progress."""
        await self._idle.wait()

    def close(self) -> None:
        """Stop the threads and reject new predictions; queued ones are abandoned."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def predict(self, inputs: Tensors, *, is_patient: bool = False) -> Prediction:
        """Predict for inputs that fit the signature; patient requests run once nobody else waits.

        Raises:
            OverloadedError: the queue is full, or the engine is not loaded yet or no longer.
            InferenceFailedError: the model failed.
        """
        engine = self._engine
        if engine is None:
            raise OverloadedError("the model is still loading")
        if self._is_closed:
            raise OverloadedError("the model was unloaded")
        self._admit(is_patient=is_patient)
        answer = self._enqueue(engine, inputs, is_patient=is_patient)
        try:
            # The work itself decrements the count: a caller that disconnects does not free its thread.
            return await asyncio.shield(answer)
        except PredictionFailedError as error:
            _log.error("prediction_failed", reason=str(error), exc_info=error.__cause__)
            raise InferenceFailedError(str(error)) from error

    @property
    def queued(self) -> int:
        """Return how many requests wait for the engine."""
        return len(self._waiting) + len(self._patient)

    def _admit(self, *, is_patient: bool) -> None:
        if is_patient:
            if self._patient_in_flight >= _MAX_PATIENT:
                raise OverloadedError(f"{_MAX_PATIENT} requests of batch jobs are in progress; try again in a moment")
        elif self.in_flight - self._patient_in_flight >= self._bound:
            raise OverloadedError(f"{self._bound} predictions are in progress; try again in a moment")

    def _enqueue(self, engine: Engine, inputs: Tensors, *, is_patient: bool) -> asyncio.Future[Prediction]:
        loop = asyncio.get_running_loop()
        rows = rows_of(inputs) if self._batches else None
        request = _Waiting(inputs, rows, loop.create_future(), time.perf_counter_ns(), is_patient)
        self.in_flight += 1
        self._patient_in_flight += is_patient
        self._idle.clear()
        with self._lock:
            (self._patient if is_patient else self._waiting).append(request)
            is_thread_free = self._working < self._threads
            self._working += is_thread_free
        if is_thread_free:
            self._executor.submit(self._work, engine, loop)
        return request.answer

    def _work(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._take():
            for requests, call in _calls(engine, batch):
                loop.call_soon_threadsafe(self._deliver, requests, call)

    def _take(self) -> list[_Waiting]:
        with self._lock:
            if not self._waiting and self._patient:
                return [self._patient.popleft()]
            if not self._waiting:
                self._working -= 1
                return []
            batch = [self._waiting.popleft()]
            rows = batch[0].rows
            while rows is not None and self._waiting:
                following = self._waiting[0]
                if following.rows is None or rows + following.rows > self._row_limit.rows:
                    break
                if not fits_together(batch[0].inputs, following.inputs):
                    break
                rows += following.rows
                batch.append(self._waiting.popleft())
            return batch

    def _deliver(self, requests: Sequence[_Waiting], call: _Call) -> None:
        self.statistics.called(rows=call.rows, took_ns=call.took_ns)
        self._row_limit.learn(call.rows, took_ms=call.took_ns / _NS_IN_MS)
        at_ms = time.time_ns() // _NS_IN_MS
        for number, request in enumerate(requests):
            self.in_flight -= 1
            self._patient_in_flight -= request.is_patient
            queue_ns = call.began_ns - request.since_ns
            if isinstance(call.outcomes, Exception):
                self.statistics.failed(took_ns=queue_ns + call.took_ns, at_ms=at_ms)
                _give(request, call.outcomes)
            else:
                self.statistics.answered(queue_ns=queue_ns, engine_ns=call.took_ns, at_ms=at_ms)
                _give(request, Prediction(call.outcomes[number], call.took_ns / _NS_IN_MS))
        if not self.in_flight:
            self._idle.set()


def _give(request: _Waiting, outcome: Prediction | Exception) -> None:
    if request.answer.done():
        return
    if isinstance(outcome, Exception):
        request.answer.set_exception(outcome)
    else:
        request.answer.set_result(outcome)


def _calls(engine: Engine, batch: Sequence[_Waiting]) -> Iterator[tuple[Sequence[_Waiting], _Call]]:
    """Call the engine once for all requests, or else once for each."""
    if len(batch) > 1:
        together = _predict_together(engine, batch)
        if together is not None:
            yield batch, together
            return
    for request in batch:
        yield [request], _predict_alone(engine, request)


def _predict_together(engine: Engine, batch: Sequence[_Waiting]) -> _Call | None:
    began_ns = time.perf_counter_ns()
    rows = [request.rows or 0 for request in batch]
    try:
        outputs = engine.predict(joined([request.inputs for request in batch]))
        took_ns = time.perf_counter_ns() - began_ns
        parts = split_rows(outputs, rows)
    except BaseException:  # noqa: BLE001  whatever is raised, even SystemExit, the thread must continue
        # One request's values may be at fault; called alone, each gets its own answer.
        return None
    return None if parts is None else _Call(parts, sum(rows), began_ns, took_ns)


def _predict_alone(engine: Engine, request: _Waiting) -> _Call:
    began_ns = time.perf_counter_ns()
    outcomes: list[Tensors] | Exception
    try:
        outcomes = [engine.predict(request.inputs)]
    except PredictionFailedError as error:
        outcomes = error
    except BaseException as error:  # noqa: BLE001  whatever is raised, the caller gets it
        outcomes = PredictionFailedError(f"the model failed with {type(error).__name__}")
        outcomes.__cause__ = error
    return _Call(outcomes, request.rows or 1, began_ns, time.perf_counter_ns() - began_ns)
