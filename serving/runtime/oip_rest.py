"""Open Inference Protocol v2 over REST, as a bare ASGI application: a framework would cost more than the model."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

import msgspec
import structlog

from infra.background import Background
from serving.capture.middleware import Outcome
from serving.engines.errors import CannotLoadError
from serving.runtime.admission import Intake
from serving.runtime.errors import (
    InferenceFailedError,
    InvalidRequestError,
    OverloadedError,
    ProtocolError,
    TooLargeError,
    UnknownModelError,
)
from serving.runtime.inference_messages import (
    InferAnswer,
    as_json,
    read_inputs,
    read_request,
    wanted_outputs,
    write_outputs,
)
from serving.runtime.instance import Instance
from serving.runtime.model_descriptions import (
    model_metadata_over_rest,
    model_statistics,
    predicted_value,
    server_metadata,
)
from serving.runtime.model_host import Prediction
from serving.runtime.open_metrics import CONTENT_TYPE, render_metrics
from serving.runtime.priority import PRIORITY, is_patient
from serving.runtime.repository import ModelRepository, ServedModel, check_repository_request
from serving.runtime.rest_body import HEADER_LENGTH, Receive, discard_rest, read_body
from serving.runtime.trace_context import trace_id_of

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = b"application/json"
_RETRY_AFTER_S = b"1"
_PREDICTION_ID = b"x-prediction-id"
_PRIORITY = PRIORITY.encode()
_MAX_READ_AWAY_RATIO = 4
"""A rejected body is read up to this multiple of the limit."""
_log = structlog.get_logger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """A status and a body. `json_bytes` is the length of the JSON if bytes of tensors follow it."""

    status: int
    body: bytes = b""
    media_type: bytes = _JSON
    json_bytes: int | None = None


class _RepositoryBody(msgspec.Struct, frozen=True):
    ready: bool = False
    parameters: dict[str, Any] | None = None


class OipRest:
    """The models of one process. Paths below `/v2` are the protocol's; `/rollbook/instance` is the agent's."""

    def __init__(
        self,
        repository: ModelRepository,
        *,
        instance: Instance,
        intake: Intake,
        background: Background,
        max_body_bytes: int,
    ) -> None:
        self._repository = repository
        self._background = background
        self._instance = instance
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._encoder = msgspec.json.Encoder()
        self._repository_bodies = msgspec.json.Decoder(_RepositoryBody)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._route(scope, receive)
        except ProtocolError as error:
            answer = self._refusal(scope, error)
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
        if answer.status == TooLargeError.status:
            await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            await discard_rest(receive, max_bytes=_MAX_READ_AWAY_RATIO * self._max_body_bytes)
            answer = Answer(answer.status)
        await send({"type": "http.response.body", "body": answer.body})

    async def _route(self, scope: Scope, receive: Receive) -> Answer:
        parts = scope["path"].strip("/").split("/")
        match (scope["method"], *parts):
            case ("POST", "v2", "models", name, "infer"):
                return await self._infer(scope, receive, name)
            case ("POST", "v2", "models", name, "versions", number, "infer"):
                return await self._infer(scope, receive, name, number)
            case ("POST", "v2", "repository", *rest):
                return await self._change(scope, receive, rest)
            case ("GET", "v2", "models", "stats"):
                return self._json({"model_stats": [model_statistics(model) for model in self._repository]})
            case ("GET", "v2", "models", name, *rest):
                return self._model(name, rest)
            case ("GET", *path):
                return self._server(path)
            case _:
                raise UnknownModelError(f"there is no route {scope['method']} {scope['path']}")

    def _server(self, path: Sequence[str]) -> Answer:
        match path:
            case ["v2"]:
                return self._json(server_metadata())
            case ["v2", "health", "live"]:
                return Answer(200)
            case ["v2", "health", "ready"]:
                return self._readiness(is_ready=self._repository.is_ready)
            case ["metrics"]:
                return Answer(200, render_metrics(self._repository, self._intake, self._background), CONTENT_TYPE)
            case ["rollbook", "instance"]:
                return self._json(self._instance.describe(in_flight=self._repository.in_flight))
            case _:
                raise UnknownModelError(f"there is nothing at /{'/'.join(path)}")

    def _model(self, name: str, rest: Sequence[str]) -> Answer:
        match rest:
            case ["ready"]:
                return self._readiness(is_ready=self._repository.is_ready_for(name))
            case ["versions", number, "ready"]:
                return self._readiness(is_ready=self._repository.is_ready_for(name, number))
            case [] | ["stats"]:
                model = self._repository.find(name)
            case ["versions", number] | ["versions", number, "stats"]:
                model = self._repository.find(name, number)
            case _:
                raise UnknownModelError(f"there is nothing at /v2/models/{name}/{'/'.join(rest)}")
        match rest:
            case [*_, "stats"]:
                return self._json({"model_stats": [model_statistics(model)]})
            case _:
                return self._json(model_metadata_over_rest(model))

    def _readiness(self, *, is_ready: bool) -> Answer:
        if is_ready:
            return Answer(200)
        return Answer(503, self._encoder.encode({"error": "the model is not ready"}))

    async def _change(self, scope: Scope, receive: Receive, rest: Sequence[str]) -> Answer:
        with self._intake.hold() as hold:
            body = await read_body(dict(scope["headers"]), receive, hold=hold, limit_bytes=self._max_body_bytes)
        try:
            asked = self._repository_bodies.decode(body.json) if body.json else _RepositoryBody()
        except msgspec.DecodeError as error:
            raise InvalidRequestError(f"the body is not a repository request: {error}") from error
        match rest:
            case ["index"]:
                states = self._repository.index()
                return self._json([state for state in states if state.state == "READY" or not asked.ready])
            case ["models", name, "load"]:
                check_repository_request("", asked.parameters)
                await self._load(name)
                return Answer(200)
            case ["models", name, "unload"]:
                await self._repository.unload(name)
                return Answer(200)
            case _:
                raise UnknownModelError(f"there is nothing at /v2/repository/{'/'.join(rest)}")

    async def _load(self, name: str) -> None:
        try:
            await self._repository.load(name)
        except CannotLoadError as error:
            raise InvalidRequestError(f"model {name!r} cannot be loaded: {error}") from error

    async def _infer(self, scope: Scope, receive: Receive, name: str, version: str = "") -> Answer:
        headers = dict(scope["headers"])
        model = self._repository.find(name, version)
        try:
            with self._intake.hold() as hold:
                body = await read_body(headers, receive, hold=hold, limit_bytes=self._max_body_bytes)
                # The model may have been reloaded or unloaded meanwhile. From here on its host counts the request.
                model = self._repository.find(name, version)
                signature = model.manifest.signature
                request = read_request(body.json)
                wanted = wanted_outputs(request, signature)
                inputs = read_inputs(request, signature, body.binary)
                priority = headers[_PRIORITY].decode("latin-1") if _PRIORITY in headers else None
                prediction = await model.host.predict(inputs, is_patient=is_patient(priority))
                outputs, chunks = write_outputs(prediction.outputs, signature, wanted)
        except ProtocolError as error:
            model.host.statistics.refused[error.status] += 1
            raise
        answer = InferAnswer(
            model_name=model.name,
            model_version=model.version,
            outputs=outputs,
            parameters=model.parameters,
            id=request.id or headers.get(_PREDICTION_ID, b"").decode("latin-1") or None,
        )
        outcome = scope.get(Outcome.SCOPE_KEY)
        if outcome is not None:
            _tell_capture(outcome, model, prediction)
            if body.binary or chunks:
                answered = {name: prediction.outputs[name] for name in wanted}
                outcome.written = lambda limit: (
                    as_json("inputs", signature.inputs, inputs, limit=limit),
                    as_json("outputs", signature.outputs, answered, limit=limit),
                )
        return self._answered(answer, chunks)

    def _answered(self, answer: InferAnswer, chunks: list[bytes]) -> Answer:
        document = self._encoder.encode(answer)
        if not chunks:
            return Answer(200, document)
        return Answer(200, b"".join((document, *chunks)), b"application/octet-stream", len(document))

    def _json(self, body: object) -> Answer:
        return Answer(200, self._encoder.encode(body))

    def _refusal(self, scope: Scope, error: ProtocolError) -> Answer:
        if isinstance(error, InferenceFailedError):
            _log.error("inference_failed", reason=str(error), trace_id=trace_id_of(dict(scope["headers"])))
        return Answer(error.status, self._encoder.encode({"error": str(error)}))


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", answer.media_type), (b"content-length", str(len(answer.body)).encode())]
    if answer.json_bytes is not None:
        headers.append((HEADER_LENGTH, str(answer.json_bytes).encode()))
    if answer.status == OverloadedError.status:
        headers.append((b"retry-after", _RETRY_AFTER_S))
    if answer.status == TooLargeError.status:
        # The body may not have been read completely, so the connection cannot be reused for another request.
        headers.append((b"connection", b"close"))
    return headers


def _tell_capture(outcome: Outcome, model: ServedModel, prediction: Prediction) -> None:
    outcome.engine_ms = prediction.engine_ms
    outcome.prediction = predicted_value(model, prediction)
