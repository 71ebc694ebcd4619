"""Open Inference Protocol v2 over gRPC: the same models, errors and records as over REST."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc
import structlog

from serving.capture.predicted import Predicted
from serving.capture.recorder import Exchange, Recorder
from serving.engines.errors import CannotLoadError
from serving.runtime import grpc_messages
from serving.runtime.admission import Intake
from serving.runtime.errors import InferenceFailedError, InvalidRequestError, ProtocolError
from serving.runtime.inference_messages import as_json
from serving.runtime.model_descriptions import model_metadata, model_statistics, predicted_value, server_metadata
from serving.runtime.priority import PRIORITY, is_patient
from serving.runtime.protocol import open_inference_pb2 as messages
from serving.runtime.repository import ModelRepository, ServedModel, check_repository_request
from serving.runtime.trace_context import trace_id_of

SERVICE = "inference.GRPCInferenceService"
Behaviour: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
_TRY_AGAIN = (("grpc-retry-pushback-ms", "1000"), ("retry-after", "1"))
_PREDICTION_ID = "x-prediction-id"
_log = structlog.get_logger(__name__)


class OipGrpc:
    """Implements the service's methods; a failure is a status with the reason as its message."""

    def __init__(self, repository: ModelRepository, *, intake: Intake, recorder: Recorder) -> None:
        self._repository = repository
        self._intake = intake
        self._recorder = recorder

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service under its protocol's name; messages are identified by their field numbers alone."""
        methods: dict[str, tuple[Behaviour, Any]] = {
            "ServerLive": (self._server_live, messages.ServerLiveRequest),
            "ServerReady": (self._server_ready, messages.ServerReadyRequest),
            "ServerMetadata": (self._server_metadata, messages.ServerMetadataRequest),
            "ModelReady": (self._model_ready, messages.ModelRequest),
            "ModelMetadata": (self._model_metadata, messages.ModelRequest),
            "ModelStatistics": (self._model_statistics, messages.ModelRequest),
            "ModelInfer": (self._infer, messages.ModelInferRequest),
            "RepositoryIndex": (self._index, messages.RepositoryIndexRequest),
            "RepositoryModelLoad": (self._load, messages.RepositoryModelRequest),
            "RepositoryModelUnload": (self._unload, messages.RepositoryModelRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                _refusing(behaviour),
                request_deserializer=request.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, (behaviour, request) in methods.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _server_live(self, _request: object, _context: object) -> messages.ServerLiveResponse:
        return messages.ServerLiveResponse(live=True)

    async def _server_ready(self, _request: object, _context: object) -> messages.ServerReadyResponse:
        return messages.ServerReadyResponse(ready=self._repository.is_ready)

    async def _server_metadata(self, _request: object, _context: object) -> messages.ServerMetadataResponse:
        return messages.ServerMetadataResponse(**server_metadata())

    async def _model_ready(self, request: messages.ModelRequest, _context: object) -> messages.ModelReadyResponse:
        return messages.ModelReadyResponse(ready=self._repository.is_ready_for(request.name, request.version))

    async def _model_metadata(self, request: messages.ModelRequest, _context: object) -> messages.ModelMetadataResponse:
        return messages.ModelMetadataResponse(**model_metadata(self._repository.find(request.name, request.version)))

    async def _model_statistics(
        self, request: messages.ModelRequest, _context: object
    ) -> messages.ModelStatisticsResponse:
        asked = [self._repository.find(request.name, request.version)] if request.name else self._repository
        return messages.ModelStatisticsResponse(model_stats=[model_statistics(model) for model in asked])

    async def _index(
        self, request: messages.RepositoryIndexRequest, _context: object
    ) -> messages.RepositoryIndexResponse:
        check_repository_request(request.repository_name, None)
        states = [state for state in self._repository.index() if state.state == "READY" or not request.ready]
        answer = messages.RepositoryIndexResponse()
        for state in states:
            answer.models.add(name=state.name, version=state.version, state=state.state, reason=state.reason)
        return answer

    async def _load(
        self, request: messages.RepositoryModelRequest, _context: object
    ) -> messages.RepositoryModelLoadResponse:
        check_repository_request(request.repository_name, list(request.parameters))
        try:
            await self._repository.load(request.model_name)
        except CannotLoadError as error:
            raise InvalidRequestError(f"model {request.model_name!r} cannot be loaded: {error}") from error
        return messages.RepositoryModelLoadResponse()

    async def _unload(
        self, request: messages.RepositoryModelRequest, _context: object
    ) -> messages.RepositoryModelUnloadResponse:
        check_repository_request(request.repository_name, None)
        await self._repository.unload(request.model_name)
        return messages.RepositoryModelUnloadResponse()

    async def _infer(
        self, request: messages.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> messages.ModelInferResponse:
        model = self._repository.find(request.model_name, request.model_version)
        metadata = _metadata(context)
        prediction_id = metadata.get(_PREDICTION_ID, "")
        is_kept = bool(prediction_id) and self._recorder.wants(prediction_id)
        try:
            patient = is_patient(metadata.get(PRIORITY))
            return await self._answer(request, model, prediction_id, is_kept=is_kept, patient=patient)
        except ProtocolError as error:
            model.host.statistics.refused[error.status] += 1
            if is_kept:
                self._recorder.record(
                    Exchange(prediction_id, self._recorder.now_ms(), error.status, -1.0, Predicted(), b"", b"")
                )
            raise

    async def _answer(
        self,
        request: messages.ModelInferRequest,
        model: ServedModel,
        prediction_id: str,
        *,
        is_kept: bool,
        patient: bool,
    ) -> messages.ModelInferResponse:
        signature = model.manifest.signature
        wanted = grpc_messages.wanted_outputs(request, signature)
        with self._intake.hold() as hold:
            hold.add(request.ByteSize())
            inputs = grpc_messages.read_inputs(request, signature)
            prediction = await model.host.predict(inputs, is_patient=patient)
        answer = messages.ModelInferResponse(
            model_name=model.name, model_version=model.version, id=request.id or prediction_id
        )
        for name, value in model.parameters.items():
            answer.parameters[name].string_param = value
        as_raw = bool(request.raw_input_contents)
        grpc_messages.write_outputs(answer, prediction.outputs, signature, wanted=wanted, as_raw=as_raw)
        if is_kept:
            outputs = {name: prediction.outputs[name] for name in wanted}
            self._recorder.record(
                Exchange(
                    prediction_id,
                    self._recorder.now_ms(),
                    200,
                    prediction.engine_ms,
                    predicted_value(model, prediction),
                    b"",
                    b"",
                    lambda limit: (
                        as_json("inputs", signature.inputs, inputs, limit=limit),
                        as_json("outputs", signature.outputs, outputs, limit=limit),
                    ),
                    size_bytes=request.ByteSize() + answer.ByteSize(),
                )
            )
        return answer


def _refusing(behaviour: Behaviour) -> Behaviour:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: ANN401 - any of the messages
        try:
            return await behaviour(request, context)
        except ProtocolError as error:
            if isinstance(error, InferenceFailedError):
                headers = {name.encode(): str(value).encode() for name, value in _metadata(context).items()}
                _log.error("inference_failed", reason=str(error), trace_id=trace_id_of(headers))
            code = _CODES[error.status]
            more = _TRY_AGAIN if code is grpc.StatusCode.UNAVAILABLE else ()
            await context.abort(code, str(error), more)

    return answer


def _metadata(context: grpc.aio.ServicerContext) -> Mapping[str, Any]:
    return dict(context.invocation_metadata() or ())
