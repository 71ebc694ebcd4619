"""Moves calls off the event loop: a bounded queue, and a thread that applies the policy, encodes and writes."""

import sys
import threading
import time
from collections import deque

from .exchange import Exchange  # noqa: TID252 - the folder has another parent inside a foreign engine
from .json_text import written  # noqa: TID252 - the same
from .policy import PolicyFile  # noqa: TID252 - the same
from .spool import Spool  # noqa: TID252 - the same

_MAX_PENDING = 20_000
_MAX_PENDING_BYTES = 64 * 1024**2
_FLUSH_S = 0.05
_MARK_MS = 250


class Recorder:
    """Counts every call, as `serving.capture.recorder` does; a full queue drops calls, but counts them as seen."""

    def __init__(self, spool: Spool, policies: PolicyFile) -> None:
        self._spool = spool
        self._policies = policies
        self._policy = policies.read()
        self._pending: deque[tuple[int, str, Exchange]] = deque()
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last_ms = self._marked_ms = 0
        self._seen = self._unsampled = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="rollbook-capture", daemon=True)
        self._thread.start()

    def wants(self, prediction_id: str) -> bool:
        """Return whether a call belongs to the sample, and count it if it does not."""
        if self._policy.samples(prediction_id):
            return True
        with self._lock:
            self._seen += 1
            self._unsampled += 1
        return False

    def record(self, prediction_id: str, exchange: Exchange) -> None:
        """Take a call that has ended."""
        with self._lock:
            self._seen += 1
            size = exchange.held_bytes
            if len(self._pending) >= _MAX_PENDING or self._pending_bytes + size > _MAX_PENDING_BYTES:
                self.dropped += 1
                return
            self._pending_bytes += size
            self._pending.append((self._now_ms(), prediction_id, exchange))

    def close(self) -> None:
        """Write what is pending, and stop the thread."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _now_ms(self) -> int:
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        return self._last_ms

    def _run(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._stopping.wait(_FLUSH_S)
            try:
                self._write(is_over=is_over)
            except Exception as error:  # noqa: BLE001 - whatever one round raises, the next one runs
                sys.stderr.write(f"rollbook: calls could not be captured ({error!r})\n")
        self._spool.close()

    def _write(self, *, is_over: bool) -> None:
        # Read before the calls are taken, so that nothing leaves under a policy that was already replaced.
        self._policy = self._policies.replaced() or self._policy
        payloads = self._taken(is_over=is_over)
        if payloads:
            self._spool.append(payloads)

    def _taken(self, *, is_over: bool) -> list[bytes]:
        with self._lock:
            pending, self._pending, self._pending_bytes = self._pending, deque(), 0
            now_ms, seen = self._now_ms(), self._seen
        policy = self._policy
        sampled = [item for item in pending if policy.samples(item[1])]
        taken: list[bytes] = []
        unreadable = 0
        for ended_ms, prediction_id, exchange in sampled:
            try:
                taken.append(written(exchange.record(prediction_id, ended_ms, policy)).encode())
            except Exception:  # noqa: BLE001 - one faulty call must not stop the thread that records all others
                unreadable += 1
        with self._lock:
            self.dropped += unreadable
            self._unsampled += len(pending) - len(sampled)
            unsampled = min(self._unsampled, seen)
        if is_over or now_ms - self._marked_ms >= _MARK_MS:
            # Everything recorded from now on gets this time or a later one.
            taken.append(written(["m", now_ms, seen, unsampled]).encode())
            self._marked_ms = now_ms
        return taken
