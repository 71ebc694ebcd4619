"""The load of a chaos run, in a process of its own: REST, gRPC and OpenAI calls, and labels for what was answered.

`python -m tests.faults.mixed_load` reads a `Plan` as one line of JSON, writes a line for each call to the plan's file,
and ends in order on SIGTERM. It is paced by the clock; no call is sent a second time.
"""

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import grpc
import msgspec

from rollbook_demo.models import PIXELS, read_digits
from serving.runtime.protocol import open_inference_pb2 as oip
from tests.faults.accounts import Call

_TIMEOUT_S = 30.0
_DRAIN_S = 45.0
_LABEL_DELAY_S = 0.5
_LABEL_PAUSE_S = 0.5
_MAX_LABELS = 500
_MAX_IN_FLIGHT = 256
_OK, _ACCEPTED = 200, 202
_INFER = "/inference.GRPCInferenceService/ModelInfer"
# Usual backing off would leave a caller without gateway for up to two minutes after it is back.
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told; `per_s` are calls by `rest`, `grpc`, `single` and `text`."""

    gateway_url: str
    api_url: str
    api_token: str
    token: str
    calls_file: str
    digits: str
    single: str
    text: str
    per_s: dict[str, float]


class Seen(msgspec.Struct, frozen=True):
    """An answer, before it is known when it was."""

    status: int
    headers: Mapping[str, str] = {}
    error: str = ""


class MixedLoad:
    """Sends calls of each kind on its own schedule."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, channel: grpc.aio.Channel, out: BinaryIO) -> None:
        self._plan, self._session, self._out = plan, session, out
        self._infer = channel.unary_unary(_INFER)
        digits = read_digits()
        self._images = [image.tolist() for image in digits.live_images]
        self._truths = [str(int(label)) for label in digits.live_labels]
        self._in_flight: set[asyncio.Task[None]] = set()
        self._labels: deque[tuple[float, dict[str, str]]] = deque()
        self._bearer = {"authorization": f"Bearer {plan.token}"}
        self._bug: BaseException | None = None
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until told to stop, then wait for what is in progress and post the last labels."""
        kinds: dict[str, Callable[[int], Awaitable[Seen]]] = {
            "rest": lambda number: self._rest(self._plan.digits, number),
            "single": lambda number: self._rest(self._plan.single, number),
            "grpc": self._grpc,
            "text": self._text,
        }
        labels = asyncio.create_task(self._post_labels())
        await asyncio.gather(*(self._paced(kind, ask) for kind, ask in kinds.items()))
        await asyncio.wait_for(asyncio.gather(*self._in_flight), timeout=_DRAIN_S)
        await asyncio.wait_for(labels, timeout=_DRAIN_S)
        if self._bug is not None:
            raise self._bug

    async def _paced(self, kind: str, ask: Callable[[int], Awaitable[Seen]]) -> None:
        began, sent = time.monotonic(), 0
        while not self.stopping.is_set():
            await asyncio.sleep(max(0.001, began + sent / self._plan.per_s[kind] - time.monotonic()))
            if len(self._in_flight) >= _MAX_IN_FLIGHT:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._call(kind, sent, ask))
            sent += 1
            self._in_flight.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug
            self.stopping.set()

    async def _call(self, kind: str, number: int, ask: Callable[[int], Awaitable[Seen]]) -> None:
        sent_at = time.time()
        try:
            seen = await ask(number)
        except (aiohttp.ClientError, TimeoutError) as error:
            seen = Seen(0, error=repr(error))
        call = Call(
            kind,
            sent_at,
            time.time(),
            seen.status,
            prediction_id=seen.headers.get("x-prediction-id", ""),
            version=seen.headers.get("x-rollbook-version", ""),
            deployment_id=seen.headers.get("x-rollbook-deployment", ""),
            epoch=int(seen.headers.get("x-rollbook-epoch") or -1),
            error=seen.error,
        )
        self._out.write(msgspec.json.encode(call) + b"\n")
        if call.status == _OK and kind != "text":
            truth = self._truths[number % len(self._truths)]
            label = {"prediction_id": call.prediction_id, "name": "label", "value": truth}
            self._labels.append((time.monotonic() + _LABEL_DELAY_S, label))

    async def _rest(self, endpoint: str, number: int) -> Seen:
        image = self._images[number % len(self._images)]
        body = {"inputs": [{"name": "pixels", "datatype": "FP64", "shape": [1, PIXELS], "data": image}]}
        return await self._post(f"/v2/models/{endpoint}/infer", body)

    async def _text(self, number: int) -> Seen:
        body = {"model": self._plan.text, "prompt": "The gateway ", "max_tokens": 24, "stream": number % 2 == 1}
        return await self._post("/v1/completions", body)

    async def _post(self, path: str, body: dict[str, Any]) -> Seen:
        async with self._session.post(self._plan.gateway_url + path, json=body, headers=self._bearer) as answer:
            text = await answer.text()
            return Seen(answer.status, answer.headers, "" if answer.status == _OK else text[:300])

    async def _grpc(self, number: int) -> Seen:
        tensor = oip.InferTensor(name="pixels", datatype="FP64", shape=[1, PIXELS])
        tensor.contents.fp64_contents.extend(self._images[number % len(self._images)])
        message = oip.ModelInferRequest(model_name=self._plan.digits, inputs=[tensor])
        metadata = tuple(self._bearer.items())
        call = self._infer(message.SerializeToString(), metadata=metadata, timeout=_TIMEOUT_S)
        try:
            await call
            return Seen(_OK, _texts(await call.initial_metadata()))
        except grpc.aio.AioRpcError as error:
            headers = _texts((*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))
            answered = "x-prediction-id" in headers
            return Seen(503 if answered else 0, headers, f"{error.code().name}: {error.details()}"[:300])

    async def _post_labels(self) -> None:
        while self._labels or self._in_flight or not self.stopping.is_set():
            due: list[dict[str, str]] = []
            while self._labels and self._labels[0][0] <= time.monotonic() and len(due) < _MAX_LABELS:
                due.append(self._labels.popleft()[1])
            while due and not await self._is_taken(due):
                await asyncio.sleep(_LABEL_PAUSE_S)
            await asyncio.sleep(_LABEL_PAUSE_S / 5)

    async def _is_taken(self, items: list[dict[str, str]]) -> bool:
        headers = {"authorization": f"Bearer {self._plan.api_token}"}
        url = f"{self._plan.api_url}/v1/feedback"
        try:
            async with self._session.post(url, json={"items": items}, headers=headers) as answer:
                return answer.status == _ACCEPTED
        except (aiohttp.ClientError, TimeoutError):
            return False


def _texts(metadata: Any) -> dict[str, str]:  # noqa: ANN401 - grpc has no types
    return {str(name): value if isinstance(value, str) else value.decode() for name, value in metadata}


@asynccontextmanager
async def _load(plan: Plan) -> AsyncIterator[MixedLoad]:
    target = plan.gateway_url.removeprefix("http://")
    timeout, connector = aiohttp.ClientTimeout(total=_TIMEOUT_S), aiohttp.TCPConnector(limit=_MAX_IN_FLIGHT)
    with Path(plan.calls_file).open("wb") as out:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            grpc.aio.insecure_channel(target, options=_RECONNECT) as channel,
        ):
            yield MixedLoad(plan, session, channel, out)


async def _run(plan: Plan) -> None:
    async with _load(plan) as load:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, load.stopping.set)
        await load.run()


if __name__ == "__main__":
    asyncio.run(_run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)))
