"""The load process: requests through the gateway at a fixed rate, from a process of its own.

`python -m benchmarks.load` reads a `Plan` as one line of JSON, then lines `target ENDPOINT`. It is paced by the clock
and not by the answers, and writes lines of JSON: each first answer of a new epoch, with `keep` all answers, and its
counters. On SIGTERM it finishes what is in flight, tells its counters a last time, and ends.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from array import array
from collections import Counter, deque

import msgspec
import uvloop

from benchmarks.wire import Answer, Connection, address_of, request_bytes

_TICK_S = 0.001
_REPORT_EVERY_S = 0.25
_DRAIN_S = 10.0
_REASON_BYTES = 160
_OK = 200


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told. `target_share` of the requests goes to the target, the rest to all in turn."""

    gateway_url: str
    token: str
    path: str
    bodies: list[str]
    endpoints: list[str]
    requests_per_s: float
    target_share: float = 0.5
    connections: int = 64
    keep: bool = False


class NewEpoch(msgspec.Struct, frozen=True, kw_only=True, tag="epoch"):
    """The first answer of an endpoint that carries this epoch, by the clock of the machine.

    `routed_at` is when the gateway began with that request, to the millisecond; its prediction id says so.
    """

    endpoint: str
    epoch: int
    routed_at: float
    answered_at: float


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """One answer."""

    prediction_id: str
    deployment_id: str
    epoch: int
    label: str
    answered_at: float


class Counters(msgspec.Struct, frozen=True, kw_only=True, tag="counters"):
    """Since the start; the lag is how far behind its clock the process sent, at worst."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    failures: dict[str, int] = {}
    worst_lag_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Load:
    """Sends on idle connections of a pool; a request finds none only when all are in flight, and then waits."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = {name: [_request(plan, name, body) for body in plan.bodies] for name in plan.endpoints}
        self.target = plan.endpoints[0]
        self._idle: deque[Connection] = deque()
        self._waiting: deque[str] = deque()
        self._connecting: list[asyncio.Future[None]] = []
        self._sent = 0
        self._answered = 0
        self._failures: Counter[str] = Counter()
        self._epochs: dict[str, int] = {}
        self._durations = array("d")
        self._worst_lag_s = 0.0
        self._began = time.monotonic()
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until told to stop, then wait for the answers."""
        for _ in range(self._plan.connections):
            await self._connect()
        self._began = next_report = time.monotonic()
        while not self.stopping.is_set():
            self._send_due()
            if time.monotonic() >= next_report:
                next_report += _REPORT_EVERY_S
                self.tell(self.counters())
            await asyncio.sleep(_TICK_S)
        deadline = time.monotonic() + _DRAIN_S
        while self._in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - answers come to another method
            await asyncio.sleep(_TICK_S)
        self._failures["no answer"] += self._in_flight
        self.tell(self.counters())

    @property
    def _in_flight(self) -> int:
        return self._sent - self._answered - self._failures.total()

    def counters(self) -> Counters:
        """Return the counters; the quantiles are those of the whole run."""
        ordered = sorted(self._durations) if self.stopping.is_set() else []
        return Counters(
            sent=self._sent,
            answered=self._answered,
            failed=self._failures.total(),
            failures={name: count for name, count in self._failures.items() if count},
            worst_lag_ms=self._worst_lag_s * 1000,
            p50_ms=ordered[len(ordered) // 2] * 1000 if ordered else 0.0,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000 if ordered else 0.0,
            cpu_s=sum(os.times()[:2]),
            wall_s=time.monotonic() - self._began,
        )

    @staticmethod
    def tell(line: msgspec.Struct) -> None:
        """Write one line."""
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()

    def _send_due(self) -> None:
        now = time.monotonic()
        due = int((now - self._began) * self._plan.requests_per_s) + 1
        while self._sent < due:
            planned_at = self._began + self._sent / self._plan.requests_per_s
            self._worst_lag_s = max(self._worst_lag_s, now - planned_at)
            endpoint = self._next_endpoint()
            self._sent += 1
            if self._idle:
                self._ask(self._idle.popleft(), endpoint)
            else:
                self._waiting.append(endpoint)

    def _next_endpoint(self) -> str:
        share, number = self._plan.target_share, self._sent
        if int((number + 1) * share) > int(number * share):
            return self.target
        return self._plan.endpoints[number % len(self._plan.endpoints)]

    def _ask(self, connection: Connection, endpoint: str) -> None:
        requests = self._requests[endpoint]
        sent_at = time.time()

        def answered(answer: Answer | None) -> None:
            self._take(answer, endpoint, sent_at)
            self._give_back(connection)

        connection.ask(requests[self._sent % len(requests)], answered)

    def _take(self, answer: Answer | None, endpoint: str, sent_at: float) -> None:
        if answer is None or answer.status != _OK:
            self._failures[_describe_failure(answer)] += 1
            return
        answered_at = time.time()
        self._answered += 1
        self._durations.append(answered_at - sent_at)
        epoch = int(answer.header(b"x-rollbook-epoch"))
        if epoch > self._epochs.get(endpoint, 0):
            self._epochs[endpoint] = epoch
            routed_at = int(answer.header(b"x-prediction-id").partition(b"-")[0]) / 1000
            self.tell(NewEpoch(endpoint=endpoint, epoch=epoch, routed_at=routed_at, answered_at=answered_at))
        if self._plan.keep:
            self.tell(_kept(answer, epoch, answered_at))

    def _give_back(self, connection: Connection) -> None:
        if not connection.is_open:
            if not self.stopping.is_set():
                self._connecting.append(asyncio.ensure_future(self._connect()))
        elif self._waiting:
            self._ask(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    async def _connect(self) -> None:
        host, port = address_of(self._plan.gateway_url)
        _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
        self._give_back(connection)


def _describe_failure(answer: Answer | None) -> str:
    """Name a failure: the status, and how the answer tells why."""
    if answer is None:
        return "connection lost"
    return f"status {answer.status} {answer.body[:_REASON_BYTES].decode(errors='replace')}".rstrip()


def _request(plan: Plan, endpoint: str, body: str) -> bytes:
    headers = {
        "authorization": f"Bearer {plan.token}",
        "content-type": "application/json",
        "x-rollbook-endpoint": endpoint,
    }
    return request_bytes("POST", plan.path, headers=headers, body=body.encode())


def _kept(answer: Answer, epoch: int, answered_at: float) -> Kept:
    outputs = msgspec.json.decode(answer.body)["outputs"]
    return Kept(
        prediction_id=answer.header(b"x-prediction-id").decode(),
        deployment_id=answer.header(b"x-rollbook-deployment").decode(),
        epoch=epoch,
        label=str(outputs[0]["data"][0]),
        answered_at=answered_at,
    )


def _listen(load: Load, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin.buffer:
        word, _, name = line.decode().strip().partition(" ")
        assert word == "target"
        loop.call_soon_threadsafe(setattr, load, "target", name)


async def _run() -> None:
    load, loop = Load(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stopping.set)
    threading.Thread(target=_listen, args=(load, loop), daemon=True).start()
    await load.run()


def main() -> int:
    """Run the process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run())
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # A daemon thread may still read standard input, which an orderly end would wait for.
    os._exit(code)
