"""Runs predictions of one engine in a few threads behind a bounded queue: load is refused rather than piled up."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from serving.engines.base import Engine, Tensors
from serving.engines.errors import PredictionFailedError
from serving.runtime.errors import InferenceFailedError, OverloadedError

_log = structlog.get_logger(__name__)


class Prediction(msgspec.Struct, frozen=True):
    """The outputs, and how long the engine worked on them (without waiting in the queue)."""

    outputs: Tensors
    engine_ms: float


class ModelHost:
    """Holds an engine once it is loaded, and counts what is under way."""

    def __init__(self, *, threads: int, queue_bound: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="predict")
        self._bound = threads + queue_bound
        self._engine: Engine | None = None
        self._closing = False
        self.in_flight = 0

    @property
    def is_ready(self) -> bool:
        return self._engine is not None and not self._closing

    def serve(self, engine: Engine) -> None:
        """Take predictions from now on."""
        self._engine = engine

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
        self.in_flight += 1
        # Counted down by the work itself: a caller that goes away does not free its thread.
        work = asyncio.get_running_loop().run_in_executor(self._executor, _predict, engine, inputs)
        work.add_done_callback(self._finished)
        try:
            return await asyncio.shield(work)
        except PredictionFailedError as error:
            _log.error("prediction_failed", reason=str(error), exc_info=error.__cause__)
            raise InferenceFailedError(str(error)) from error

    def _finished(self, _work: asyncio.Future[Prediction]) -> None:
        self.in_flight -= 1


def _predict(engine: Engine, inputs: Tensors) -> Prediction:
    started = time.perf_counter()
    outputs = engine.predict(inputs)
    return Prediction(outputs=outputs, engine_ms=(time.perf_counter() - started) * 1000)
