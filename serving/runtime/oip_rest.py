"""Open Inference Protocol v2 over REST, as a bare ASGI application: a framework would cost more than the model."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias

import msgspec

from serving.capture.middleware import Outcome
from serving.engines.base import Array
from serving.runtime.errors import (
    InvalidRequestError,
    OverloadedError,
    ProtocolError,
    TooLargeError,
    UnknownModelError,
)
from serving.runtime.inference_messages import InferAnswer, check_requested, read_inputs, read_request, write_outputs
from serving.runtime.instance import Instance
from serving.runtime.manifest import Manifest
from serving.runtime.model_host import ModelHost

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_RETRY_AFTER_S = b"1"
_PREDICTION_ID = b"x-prediction-id"
_BINARY_EXTENSION = b"inference-header-content-length"


class Answer(msgspec.Struct, frozen=True):
    """A status and what the body says as JSON; None is an empty body."""

    status: int
    body: Any = None


class OipRest:
    """One model under one name. Paths below `/v2` are the protocol's, `/rollbook/instance` is the agent's."""

    def __init__(
        self, host: ModelHost, *, manifest: Manifest, name: str, instance: Instance, max_body_bytes: int
    ) -> None:
        self._host = host
        self._manifest = manifest
        self._name = name
        self._version = str(manifest.version.number)
        self._instance = instance
        self._max_body_bytes = max_body_bytes
        self._parameters = {"version": manifest.version_name, "deployment_id": manifest.deployment_id}
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._route(scope, receive)
        except ProtocolError as error:
            answer = Answer(error.status, {"error": str(error)})
        body = b"" if answer.body is None else self._encoder.encode(answer.body)
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer, body)})
        await send({"type": "http.response.body", "body": body})

    async def _route(self, scope: Scope, receive: Receive) -> Answer:
        parts = scope["path"].strip("/").split("/")
        match (scope["method"], *parts):
            case ("POST", "v2", "models", name, "infer"):
                return await self._infer(scope, receive, name=name)
            case ("POST", "v2", "models", name, "versions", number, "infer"):
                return await self._infer(scope, receive, name=name, number=number)
            case ("GET", "v2", "models", name, *rest):
                return self._model(name, rest)
            case ("GET", *path):
                return self._server(path)
            case _:
                raise UnknownModelError(f"there is nothing to {scope['method']} at {scope['path']}")

    def _server(self, path: Sequence[str]) -> Answer:
        match path:
            case ["v2"]:
                return Answer(200, {"name": "rollbook", "version": version("rollbook-server"), "extensions": []})
            case ["v2", "health", "live"]:
                return Answer(200)
            case ["v2", "health", "ready"]:
                return self._readiness()
            case ["rollbook", "instance"]:
                return Answer(200, self._instance.describe(in_flight=self._host.in_flight))
            case _:
                raise UnknownModelError(f"there is nothing at /{'/'.join(path)}")

    def _model(self, name: str, rest: Sequence[str]) -> Answer:
        match rest:
            case [] | ["ready"]:
                self._check_model(name, self._version)
            case ["versions", number] | ["versions", number, "ready"]:
                self._check_model(name, number)
            case _:
                raise UnknownModelError(f"there is nothing at /v2/models/{name}/{'/'.join(rest)}")
        return self._readiness() if rest and rest[-1] == "ready" else Answer(200, self._metadata())

    def _metadata(self) -> dict[str, Any]:
        signature = self._manifest.signature
        return {
            "name": self._name,
            "versions": [self._version],
            "platform": f"rollbook_{self._manifest.artifact.format}",
            "inputs": signature.inputs,
            "outputs": signature.outputs,
        }

    def _readiness(self) -> Answer:
        return Answer(200) if self._host.is_ready else Answer(503, {"error": "the model is not ready"})

    async def _infer(self, scope: Scope, receive: Receive, *, name: str, number: str | None = None) -> Answer:
        self._check_model(name, number or self._version)
        headers = dict(scope["headers"])
        if _BINARY_EXTENSION in headers:
            raise InvalidRequestError("the binary tensor extension is not supported; send tensors as JSON")
        request = read_request(await self._body(headers, receive))
        signature = self._manifest.signature
        wanted = check_requested(request, signature)
        prediction = await self._host.predict(read_inputs(request, signature))
        _tell_capture(scope, prediction.outputs[signature.outputs[0].name], engine_ms=prediction.engine_ms)
        return Answer(
            200,
            InferAnswer(
                model_name=self._name,
                model_version=self._version,
                outputs=write_outputs(prediction.outputs, signature, wanted),
                parameters=self._parameters,
                id=request.id or headers.get(_PREDICTION_ID, b"").decode("latin-1") or None,
            ),
        )

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise TooLargeError(limit_bytes=self._max_body_bytes)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequestError("the caller went away before its request was complete")
            body += message.get("body", b"")
            if len(body) > self._max_body_bytes:
                raise TooLargeError(limit_bytes=self._max_body_bytes)
            if not message.get("more_body", False):
                return bytes(body)

    def _check_model(self, name: str, number: str) -> None:
        if name.lower() != self._name.lower():
            raise UnknownModelError(f"model {name!r} is unknown; this instance serves {self._name!r}")
        if number != self._version:
            raise UnknownModelError(f"version {number!r} is unknown; this instance serves version {self._version!r}")


def _headers(answer: Answer, body: bytes) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if answer.status == OverloadedError.status:
        headers.append((b"retry-after", _RETRY_AFTER_S))
    if answer.status == TooLargeError.status:
        # The rest of the body is not read, so the connection can't carry another request.
        headers.append((b"connection", b"close"))
    return headers


def _tell_capture(scope: Scope, first: Array, *, engine_ms: float) -> None:
    outcome = scope.get(Outcome.SCOPE_KEY)
    if outcome is not None:
        outcome.engine_ms = engine_ms
        # A model may answer without any value, whatever its signature promises.
        outcome.prediction = "".join(as_text(value) for value in first.ravel()[:1].tolist())


def as_text(value: object) -> str:
    """Write a predicted value the way feedback is written: `true`, `3`, `0.25`, `cat`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
