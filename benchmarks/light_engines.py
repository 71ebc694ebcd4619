"""Engines that cost almost nothing: one process, a port for each instance, and a real classifier behind all of them.

`python -m benchmarks.light_engines MODEL` reads lines of JSON, an `Opening` each, and answers each with its port once
something listens there. An instance answers what the serving agent and the gateway ask: who it is, whether it is
ready, and the Open Inference Protocol over REST.
"""

import asyncio
import os
import sys
from typing import Any, cast

import httptools
import msgspec
import numpy as np
import numpy.typing as npt
import skops.io
import uvloop

from infra.stack.addresses import LOOPBACK


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that shall answer at a port; without `instance_id` the port is closed."""

    port: int
    instance_id: str = ""
    boot_id: str = ""


class _Tensor(msgspec.Struct, frozen=True):
    data: list[float]
    shape: list[int]


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Tensor]


class Regression:
    """The demo's logistic regression by its own coefficients.

    What `predict` asks of its arguments costs most of a millisecond a row, and would be most of what is measured.
    """

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
        (_, scaler), (_, regression) = pipeline.steps
        self._scale, self._offset = scaler.scale_, scaler.min_
        self._weights, self._bias, self._classes = regression.coef_.T, regression.intercept_, regression.classes_

    def predict(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the label of each row."""
        scores = (rows * self._scale + self._offset) @ self._weights + self._bias
        labels: npt.NDArray[np.int64] = self._classes[scores.argmax(axis=1)]
        return labels


class _Engine(asyncio.Protocol):
    """One connection to one instance."""

    def __init__(self, classifier: Regression, opening: Opening) -> None:
        self._classifier = classifier
        self._opening = opening
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are not subclasses.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._path = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        body = msgspec.json.encode(self._answer())
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _answer(self) -> dict[str, Any]:
        if self._path.endswith(b"/infer"):
            tensor = msgspec.json.decode(self._body, type=_Request).inputs[0]
            labels = self._classifier.predict(np.array(tensor.data).reshape(tensor.shape))
            output = {"name": "label", "datatype": "INT64", "shape": [len(labels)], "data": labels.tolist()}
            return {"model_name": "digits", "outputs": [output]}
        if self._path == b"/rollbook/instance":
            known = msgspec.structs.asdict(self._opening)
            return {**known, "pid": os.getpid(), "in_flight": 0}
        return {"ready": True, "live": True}


async def _serve(model: str) -> None:
    classifier = Regression(skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model)))
    loop = asyncio.get_running_loop()
    servers: dict[int, asyncio.Server] = {}
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        opening = msgspec.json.decode(line, type=Opening)
        if opening.instance_id:
            servers[opening.port] = await loop.create_server(
                lambda opening=opening: _Engine(classifier, opening),  # type: ignore[misc]
                LOOPBACK,
                opening.port,
            )
        else:
            servers.pop(opening.port).close()
        sys.stdout.write(f"{opening.port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
