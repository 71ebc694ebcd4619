"""ASGI middleware that passes each prediction to the recorder, once its answer is being sent."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar, TypeAlias

from serving.capture.predicted import Predicted
from serving.capture.recorder import Exchange, Recorder, Written

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# nginx's status for a request whose caller disconnected before the answer.
_DISCONNECTED = 499
_PREDICTION_ID = b"x-prediction-id"


class Outcome:
    """What only the application knows about a prediction, and not the wire; the application finds this in its scope."""

    SCOPE_KEY: ClassVar[str] = "rollbook.outcome"
    __slots__ = ("engine_ms", "prediction", "written")

    def __init__(self) -> None:
        self.written: Written | None = None
        self.engine_ms = -1.0
        self.prediction = Predicted()


class CaptureMiddleware:
    """Captures POST requests with a prediction id from the gateway; without one nothing could be joined to them."""

    def __init__(self, application: Application, recorder: Recorder) -> None:
        self._application = application
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prediction_id = _prediction_id(scope)
        if not prediction_id or not self._recorder.wants(prediction_id):
            await self._application(scope, receive, send)
            return
        tap = _Tap(receive, send)
        scope[Outcome.SCOPE_KEY] = outcome = Outcome()
        await self._application(scope, tap.receive, tap.send)
        self._recorder.record(
            Exchange(
                prediction_id=prediction_id,
                captured_at_ms=self._recorder.now_ms(),
                status=tap.status or _DISCONNECTED,
                engine_ms=outcome.engine_ms,
                prediction=outcome.prediction,
                request=b"".join(tap.request),
                answer=b"".join(tap.answer),
                written=outcome.written,
            )
        )


class _Tap:
    """Keeps references to what passes through."""

    __slots__ = ("_receive", "_send", "answer", "request", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.request: list[bytes] = []
        self.answer: list[bytes] = []
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        # Whatever arrives after the answer started did not influence it.
        if not self.status:
            self.request.append(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answer.append(message.get("body", b""))
        await self._send(message)


def _prediction_id(scope: Scope) -> str:
    if scope["type"] != "http" or scope["method"] != "POST":
        return ""
    for name, value in scope["headers"]:
        if name == _PREDICTION_ID:
            return str(value.decode("latin-1"))
    return ""
