"""Runs predictions of one engine in a few threads behind a bounded queue: load is refused rather than piled up.

A free thread takes at once what waits: one request when there is one, many in one call when many came while it worked.
So a lone caller never waits for company, and the cost of a call is shared as soon as there is a queue.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import msgspec
import structlog

from serving.engines.base import Engine, Tensors
from serving.engines.errors import PredictionFailedError
from serving.runtime.batching import fits_together, is_batchable, joined, parted, rows_of
from serving.runtime.errors import InferenceFailedError, OverloadedError

MOST_ROWS = 256
_log = structlog.get_logger(__name__)


class Prediction(msgspec.Struct, frozen=True):
    """The outputs, and how long the engine worked on the call that held them (without waiting in the queue)."""

    outputs: Tensors
    engine_ms: float


class _Waiting(msgspec.Struct, frozen=True):
    inputs: Tensors
    rows: int | None
    answer: asyncio.Future[Prediction]


class ModelHost:
    """Holds an engine once it is loaded, and counts what is under way."""

    def __init__(self, *, threads: int, queue_bound: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="predict")
        self._threads = threads
        self._bound = threads + queue_bound
        self._engine: Engine | None = None
        self._batches = False
        self._closing = False
        self._waiting: deque[_Waiting] = deque()
        self._lock = Lock()
        self._working = 0
        self.in_flight = 0

    @property
    def is_ready(self) -> bool:
        return self._engine is not None and not self._closing

    def serve(self, engine: Engine) -> None:
        """Take predictions from now on."""
        self._engine = engine
        self._batches = is_batchable(engine.signature)

    def drain(self) -> None:
        """Report unready from now on; what arrives on open connections is still answered."""
        self._closing = True

    def close(self) -> None:
        """End the threads; predictions that are still queued are given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def predict(self, inputs: Tensors) -> Prediction:
        """Answer inputs that fit the signature.

        Raises:
            OverloadedError: as many predictions as allowed are queued, or no engine is loaded yet.
            InferenceFailedError: the model failed.
        """
        engine = self._engine
        if engine is None:
            raise OverloadedError("the model is still loading")
        if self.in_flight >= self._bound:
            raise OverloadedError(f"{self._bound} predictions are under way; try again in a moment")
        answer = self._enqueue(engine, inputs)
        try:
            # Counted down by the work itself: a caller that goes away does not free its thread.
            return await asyncio.shield(answer)
        except PredictionFailedError as error:
            _log.error("prediction_failed", reason=str(error), exc_info=error.__cause__)
            raise InferenceFailedError(str(error)) from error

    def _enqueue(self, engine: Engine, inputs: Tensors) -> asyncio.Future[Prediction]:
        loop = asyncio.get_running_loop()
        request = _Waiting(inputs, rows_of(inputs) if self._batches else None, loop.create_future())
        self.in_flight += 1
        with self._lock:
            self._waiting.append(request)
            is_thread_free = self._working < self._threads
            self._working += is_thread_free
        if is_thread_free:
            self._executor.submit(self._work, engine, loop)
        return request.answer

    def _work(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._take():
            outcomes = _answers(engine, batch)
            loop.call_soon_threadsafe(self._deliver, batch, outcomes)

    def _take(self) -> list[_Waiting]:
        with self._lock:
            if not self._waiting:
                self._working -= 1
                return []
            batch = [self._waiting.popleft()]
            rows = batch[0].rows
            while rows is not None and self._waiting:
                following = self._waiting[0]
                if following.rows is None or rows + following.rows > MOST_ROWS:
                    break
                if not fits_together(batch[0].inputs, following.inputs):
                    break
                rows += following.rows
                batch.append(self._waiting.popleft())
            return batch

    def _deliver(self, batch: Sequence[_Waiting], outcomes: Sequence[Prediction | Exception]) -> None:
        for request, outcome in zip(batch, outcomes, strict=True):
            self.in_flight -= 1
            if request.answer.done():
                continue
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)


def _answers(engine: Engine, batch: Sequence[_Waiting]) -> Sequence[Prediction | Exception]:
    if len(batch) > 1:
        together = _together(engine, batch)
        if together is not None:
            return together
    return [_alone(engine, request.inputs) for request in batch]


def _together(engine: Engine, batch: Sequence[_Waiting]) -> list[Prediction] | None:
    started = time.perf_counter()
    try:
        outputs = engine.predict(joined([request.inputs for request in batch]))
    except Exception:  # noqa: BLE001  the rim of a thread: whatever it is, the thread has to go on
        # One request's values may be at fault; alone, each gets its own answer.
        return None
    took_ms = (time.perf_counter() - started) * 1000
    parts = parted(outputs, [request.rows or 0 for request in batch])
    return None if parts is None else [Prediction(part, took_ms) for part in parts]


def _alone(engine: Engine, inputs: Tensors) -> Prediction | Exception:
    started = time.perf_counter()
    try:
        outputs = engine.predict(inputs)
    except Exception as error:  # noqa: BLE001  the rim of a thread: the caller gets it, whatever it is
        return error
    return Prediction(outputs, (time.perf_counter() - started) * 1000)
