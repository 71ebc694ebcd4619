"""The load process: live traffic through the gateway, every answer kept, labels posted late.

Runs as `python -m rollbook_demo.load`, in a process of its own, so that nothing the story does can delay the traffic.
Each further line on standard input is a new rate in requests per second. Prints one JSON line of counters twice a
second; on SIGTERM it finishes, writes the answers it kept, and ends.
"""

import argparse
import asyncio
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import aiohttp
import msgspec

from rollbook_demo.models import PIXELS, read_digits

_REPORT_EVERY_S = 0.5
_LABEL_BATCH = 500
_LABEL_RETRY_S = 0.5
_DRAIN_S = 10.0
_SCHEDULE_SLACK_S = 0.001
_OK, _ACCEPTED, _FIRST_SERVER_ERROR = 200, 202, 500


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the load process is told, as one JSON line on standard input."""

    gateway_url: str
    api_url: str
    endpoint: str
    inference_token: str
    api_token: str
    requests_per_s: float
    label_delay_s: float
    answers_file: str
    datatype: str = "FP64"
    max_in_flight: int = 256


AnyPlan = TypeVar("AnyPlan", bound=Plan)


class Answer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One answered request as the caller saw it; `sent_at` and `duration_ms` by the caller's clock."""

    prediction_id: str
    version: str
    deployment_id: str
    epoch: int
    sent_at: float
    duration_ms: float
    is_correct: bool


class Progress(msgspec.Struct, kw_only=True):
    """Counters since the start."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    labels_posted: int = 0
    labels_lost: int = 0
    by_version: dict[str, list[int]] = {}
    failures: dict[str, int] = {}


class Judged(msgspec.Struct, frozen=True):
    """What is known of an answer: the feedback to post of it, and whether it counts as right."""

    feedback: str
    is_correct: bool


class Questions(Protocol):
    """What callers ask, over and over in its order, and what they find of the answers."""

    @property
    def path(self) -> str:
        """Return where the gateway takes them."""
        ...

    @property
    def feedback_name(self) -> str:
        """Return the name that the feedback is posted under."""
        ...

    @property
    def bodies(self) -> Sequence[bytes]:
        """Return the requests' bodies, JSON."""
        ...

    def judge(self, index: int, answer: bytes) -> Judged:
        """Return what is known of the answer to a body.

        Raises:
            ValueError: it is no answer to it.
        """
        ...


class Images:
    """Implements Questions with the handwritten digits that scikit-learn ships; the labels are known."""

    feedback_name = "label"

    def __init__(self, plan: Plan) -> None:
        """Prepare the bodies of all live images once."""
        digits = read_digits()
        self.path = f"/v2/models/{plan.endpoint}/infer"
        self.bodies = [_body(image.tolist(), plan.datatype) for image in digits.live_images]
        self._labels = [int(label) for label in digits.live_labels]

    def judge(self, index: int, answer: bytes) -> Judged:
        """Compare the answer with the label."""
        label = self._labels[index]
        return Judged(str(label), _predicted_label(answer) == label)


class Load:
    """Paces requests by the clock, not by the answers, as independent callers would."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, questions: Questions) -> None:
        """Take what is to be asked."""
        self._plan = plan
        self._session = session
        self._questions = questions
        self._answers: list[Answer] = []
        self._due_labels: deque[tuple[float, str, str]] = deque()
        self._failures: Counter[str] = Counter()
        self._by_version: dict[str, list[int]] = {}
        self._progress = Progress()
        self._in_flight: set[asyncio.Task[None]] = set()
        self.requests_per_s = plan.requests_per_s
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until told to stop, then wait for the last answers and post the last labels."""
        labels = asyncio.create_task(self._post_labels())
        reports = asyncio.create_task(self._report())
        await self._send_on_schedule()
        await asyncio.wait_for(asyncio.gather(*self._in_flight), timeout=_DRAIN_S)
        await asyncio.wait_for(labels, timeout=self._plan.label_delay_s + _DRAIN_S)
        reports.cancel()
        answers = msgspec.json.encode(self._answers)
        await asyncio.to_thread(Path(self._plan.answers_file).write_bytes, answers)
        self._print_progress()

    async def _send_on_schedule(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            ahead = due - time.monotonic()
            if ahead > _SCHEDULE_SLACK_S:
                await asyncio.sleep(ahead)
            due += 1.0 / self.requests_per_s
            if len(self._in_flight) >= self._plan.max_in_flight:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._ask(self._progress.sent % len(self._questions.bodies)))
            self._progress.sent += 1
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _ask(self, index: int) -> None:
        url = f"{self._plan.gateway_url}{self._questions.path}"
        headers = {"authorization": f"Bearer {self._plan.inference_token}", "content-type": "application/json"}
        sent_at, began = time.time(), time.perf_counter()
        try:
            async with self._session.post(url, data=self._questions.bodies[index], headers=headers) as response:
                body = await response.read()
                if response.status != _OK:
                    self._fail(f"status {response.status}")
                    return
                self._keep(index, response.headers, body, sent_at, (time.perf_counter() - began) * 1000)
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError) as error:
            self._fail(type(error).__name__)

    def _fail(self, kind: str) -> None:
        self._progress.failed += 1
        self._failures[kind] += 1

    def _keep(self, index: int, headers: Mapping[str, str], body: bytes, at: float, took: float) -> None:
        judged = self._questions.judge(index, body)
        answer = Answer(
            prediction_id=headers["x-prediction-id"],
            version=headers["x-rollbook-version"],
            deployment_id=headers["x-rollbook-deployment"],
            epoch=int(headers["x-rollbook-epoch"]),
            sent_at=at,
            duration_ms=took,
            is_correct=judged.is_correct,
        )
        self._answers.append(answer)
        self._progress.answered += 1
        counts = self._by_version.setdefault(answer.version, [0, 0])
        counts[0] += 1
        counts[1] += answer.is_correct
        self._due_labels.append((time.monotonic() + self._plan.label_delay_s, answer.prediction_id, judged.feedback))

    async def _post_labels(self) -> None:
        while self._due_labels or self._in_flight or not self.stopping.is_set():
            batch = self._take_due_labels()
            if batch:
                await self._post(batch)
            else:
                await asyncio.sleep(_LABEL_RETRY_S / 5)

    def _take_due_labels(self) -> list[dict[str, str]]:
        batch: list[dict[str, str]] = []
        now = time.monotonic()
        while self._due_labels and len(batch) < _LABEL_BATCH and self._due_labels[0][0] <= now:
            _, prediction_id, feedback = self._due_labels.popleft()
            batch.append({"prediction_id": prediction_id, "name": self._questions.feedback_name, "value": feedback})
        return batch

    async def _post(self, batch: list[dict[str, str]]) -> None:
        headers = {"authorization": f"Bearer {self._plan.api_token}"}
        while True:
            status = await self._try_post(batch, headers)
            if status == _ACCEPTED:
                self._progress.labels_posted += len(batch)
                return
            if status is not None and status < _FIRST_SERVER_ERROR:
                self._progress.labels_lost += len(batch)
                return
            await asyncio.sleep(_LABEL_RETRY_S)

    async def _try_post(self, batch: list[dict[str, str]], headers: dict[str, str]) -> int | None:
        url = f"{self._plan.api_url}/v1/feedback"
        try:
            async with self._session.post(url, json={"items": batch}, headers=headers) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self._print_progress()

    def _print_progress(self) -> None:
        self._progress.by_version = self._by_version
        self._progress.failures = dict(self._failures)
        sys.stdout.buffer.write(msgspec.json.encode(self._progress) + b"\n")
        sys.stdout.buffer.flush()


def _body(pixels: list[float], datatype: str) -> bytes:
    tensor = {"name": "pixels", "datatype": datatype, "shape": [1, PIXELS], "data": pixels}
    return msgspec.json.encode({"inputs": [tensor]})


def _predicted_label(body: bytes) -> int:
    outputs = msgspec.json.decode(body)["outputs"]
    return int(next(output["data"][0] for output in outputs if output["name"] == "label"))


async def _run(plan: Plan, questions: Questions) -> None:
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=plan.max_in_flight)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        load = Load(plan, session, questions)
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, load.stopping.set)
        threading.Thread(target=_take_rates, args=[load], daemon=True).start()
        await load.run()


def _take_rates(load: Load) -> None:
    for line in sys.stdin.buffer:
        load.requests_per_s = float(line)


def run_plan(kind: type[AnyPlan], questions_of: Callable[[AnyPlan], Questions]) -> int:
    """Read a plan from standard input and run it."""
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)
    asyncio.run(_run(plan, questions_of(plan)))
    return 0


def main() -> int:
    """Run the live traffic of handwritten digits."""
    argparse.ArgumentParser(prog="python -m rollbook_demo.load", description=__doc__).parse_args()
    return run_plan(Plan, Images)


if __name__ == "__main__":
    sys.exit(main())
