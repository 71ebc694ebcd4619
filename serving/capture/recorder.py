"""Moves captured exchanges off the response path: a bounded queue, and a thread that applies the policy and writes."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import structlog

from infra.background import Background
from serving.capture import records
from serving.capture.policy import captured_inputs, captured_outputs, captured_prediction, is_sampled
from serving.capture.policy_file import PolicyInForce
from serving.capture.predicted import Predicted
from serving.capture.records import Mark, ObservationRecord
from serving.capture.spool import SpoolWriter

_log = structlog.get_logger(__name__)

WORK = "capture"
MAX_PENDING = 20_000
MAX_PENDING_BYTES = 64 * 1024**2
_FLUSH_INTERVAL_S = 0.05


Written: TypeAlias = Callable[[int | None], tuple[bytes, bytes]]


class Exchange(msgspec.Struct, frozen=True):
    """A request and its answer as they were sent.

    If they were not JSON, `written` converts both to JSON, with at most the given number of values of each tensor, or
    all for None. It is called off the response path.
    """

    prediction_id: str
    captured_at_ms: int
    status: int
    engine_ms: float
    prediction: Predicted
    request: bytes
    answer: bytes
    written: Written | None = None
    size_bytes: int = 0
    """The memory that `written` holds."""

    @property
    def held_bytes(self) -> int:
        """The memory held until the exchange is written."""
        return len(self.request) + len(self.answer) + self.size_bytes


class Recorder:
    """Queues records and marks; everything but `start` and `stop` belongs to one thread, the event loop's.

    A full queue drops and counts new exchanges, so that a prediction is never delayed. An exchange that cannot be
    converted is recorded without its values.
    """

    def __init__(self, writer: SpoolWriter, *, in_force: PolicyInForce, background: Background) -> None:
        self._writer = writer
        self._background = background
        self._in_force = in_force
        # Without the workspace's key, digests compare with nothing, rather than with everybody's guesses.
        self._own_key = secrets.token_bytes(32)
        self._pending: deque[Exchange | Mark] = deque()
        self._pending_bytes = 0
        self._taken_bytes = 0
        self._last_ms = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen = 0
        self._unsampled = 0
        self._left_out_later = 0
        self.dropped = 0

    def start(self) -> None:
        self._thread = self._background.thread(WORK, self._run, stopping=self._stopping)

    def stop(self) -> None:
        """Write what is pending and the last counts, and stop the thread."""
        self.mark()
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def now_ms(self) -> int:
        """Return the time for a record or mark made now; it never decreases, so that a mark stays true."""
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        return self._last_ms

    def wants(self, prediction_id: str) -> bool:
        """Return whether to record the exchange of a prediction, and count it if not."""
        if _in_sample(self._in_force, prediction_id):
            return True
        self._seen += 1
        self._unsampled += 1
        return False

    def follow(self, in_force: PolicyInForce) -> None:
        """Apply another policy from now on, also to what is pending: nothing leaves under the previous one."""
        self._in_force = in_force
        _log.info("capture_policy_followed", version=in_force.version)

    def record(self, exchange: Exchange) -> None:
        """Queue an exchange, or count it as dropped."""
        self._seen += 1
        size = exchange.held_bytes
        if len(self._pending) >= MAX_PENDING or self._pending_bytes - self._taken_bytes + size > MAX_PENDING_BYTES:
            self.dropped += 1
            return
        self._pending_bytes += size
        self._pending.append(exchange)

    def mark(self) -> None:
        """Mark that every exchange that ended before now has been queued."""
        if len(self._pending) < MAX_PENDING:
            self._pending.append(Mark(self.now_ms(), self._seen, self._unsampled))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(_FLUSH_INTERVAL_S)
            payloads = self._take()
            if payloads:
                self._writer.append(payloads)
        self._writer.close()

    def _take(self) -> list[bytes]:
        payloads: list[bytes] = []
        mark: Mark | None = None
        for _ in range(len(self._pending)):
            item = self._pending.popleft()
            if isinstance(item, Mark):
                mark = item
                continue
            self._taken_bytes += item.held_bytes
            # Read once: the event loop may replace it while this record is made.
            in_force = self._in_force
            if _in_sample(in_force, item.prediction_id):
                payloads.append(self._payload(item, in_force))
            else:
                self._left_out_later += 1
        # Only the last mark of a round matters; records that came after it only make it conservative.
        if mark is not None:
            unsampled = mark.unsampled + self._left_out_later
            payloads.append(records.encode(msgspec.structs.replace(mark, unsampled=unsampled)))
        return payloads

    def _payload(self, exchange: Exchange, in_force: PolicyInForce) -> bytes:
        try:
            return records.encode(self._observed(exchange, in_force))
        except Exception as error:  # noqa: BLE001  one faulty exchange must not stop the thread that records all others
            self._background.failed(WORK, error)
            return records.encode(_without_values(exchange, in_force))

    def _observed(self, exchange: Exchange, in_force: PolicyInForce) -> ObservationRecord:
        policy, key = in_force.policy, bytes.fromhex(in_force.hash_key) or self._own_key
        request, answer = exchange.request, exchange.answer
        if exchange.written:
            # One value more than is kept shows that there were more. A digest covers all values.
            request, answer = exchange.written(None if policy.hashed else policy.max_values + 1)
        prediction = captured_prediction(policy, exchange.prediction.value)
        return msgspec.structs.replace(
            _without_values(exchange, in_force),
            prediction=prediction or "",
            prediction_datatype="" if prediction is None else exchange.prediction.datatype,
            prediction_class="" if prediction is None else exchange.prediction.other_name,
            inputs=captured_inputs(policy, request, hash_key=key),
            outputs=captured_outputs(policy, answer, hash_key=key),
        )


def _without_values(exchange: Exchange, in_force: PolicyInForce) -> ObservationRecord:
    return ObservationRecord(
        prediction_id=exchange.prediction_id,
        captured_at_ms=exchange.captured_at_ms,
        status=exchange.status,
        engine_ms=exchange.engine_ms,
        prediction="",
        inputs="",
        outputs="",
        policy_version=in_force.version,
        retention_days=in_force.policy.retention_days,
    )


def _in_sample(in_force: PolicyInForce, prediction_id: str) -> bool:
    return in_force.policy.sampling_rate >= 1 or is_sampled(in_force.policy, prediction_id)
