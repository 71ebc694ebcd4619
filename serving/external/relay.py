"""Forwards calls to a running server: with its name for the model, our credential, and few of the caller's headers.

An ASGI application. It buffers the body, which contains the model's name; an answer is streamed through.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from http import HTTPStatus

import aiohttp
import msgspec
import structlog

from schemas.external_engine import ExternalEngine
from serving.capture.middleware import Message, Outcome, Receive, Scope, Send
from serving.capture.predicted import predicted_of
from serving.external.credentials import Credential
from serving.external.grants import explain_grant, refused_address
from serving.external.rewording import Rewording

_PASSED_ON = frozenset({"accept", "content-type", "inference-header-content-length", "traceparent", "tracestate"})
_PASSED_BACK = frozenset(
    {"content-type", "inference-header-content-length", "retry-after", "openai-processing-ms", "x-request-id"}
)
_UNANSWERED = ("x-rollbook-unanswered", "1")
"""Tells the gateway that no engine answered, so that it can try another instance, as if the engine itself were gone."""
_UNREACHABLE = "external-engine-unreachable"
_NOT_GRANTED = "external-engine-address-not-granted"
_NAMES_OF_CALL = ("x-request-id", "x-prediction-id")
_HEALTH = ("/health", "/v2/health/ready")
_METRICS = "/metrics"
_HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=4)
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_log = structlog.get_logger(__name__)


class _Answer(msgspec.Struct):
    outputs: list["_Output"] = []


class _Output(msgspec.Struct):
    datatype: str = ""
    data: list[bool | int | float | str] = []


class Relay:
    """Represents one external engine. Redirects are not followed, because the credential is for one origin only.

    `probes` are separate connections for health checks: a server whose connections are all busy is not gone. `classes`
    are the names of those of the first output.
    """

    def __init__(
        self,
        engine: ExternalEngine,
        *,
        credential: Credential | None,
        session: aiohttp.ClientSession,
        probes: aiohttp.ClientSession,
        rewording: Rewording | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self._classes = classes
        self._rewording = rewording
        self._engine = engine
        self._session = session
        self._probes = probes
        self._secret = {credential.header: credential.value} if credential else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/v2/health/live":
            await _answer(send, HTTPStatus.OK, b"{}")
        elif scope["path"] in _HEALTH:
            await self._tell_health(send)
        elif scope["path"] == _METRICS:
            # The server's metrics belong to its owner, and cover everything that it serves.
            await _refuse(send, HTTPStatus.NOT_FOUND, "external-engine-has-no-metrics", "ask the server itself")
        else:
            await self._pass(scope, receive, send)

    async def _tell_health(self, send: Send) -> None:
        path = "/v1/models" if self._engine.protocol == "openai" else f"/v2/models/{self._engine.model}/ready"
        try:
            url = self._engine.url.rstrip("/") + path
            async with self._probes.get(
                url, headers=self._secret, timeout=_HEALTH_TIMEOUT, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            refused = refused_address(error)
            code, reason = (_NOT_GRANTED, explain_grant(refused)) if refused else (_UNREACHABLE, str(error))
            await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, code, reason)
            return
        is_well = status == HTTPStatus.OK
        await (_answer(send, HTTPStatus.OK, b"{}") if is_well else self._refuse_status(send, status))

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        try:
            path, content = self._translated(scope["path"], body)
        except ValueError as error:
            await _refuse(send, HTTPStatus.BAD_REQUEST, "body-is-no-json", str(error))
            return
        asking = asyncio.ensure_future(self._ask(scope, path, content, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            # Nobody should pay for an answer that nobody reads: when the caller leaves, the call to the server ends
            # too.
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asking, leaving):
                task.cancel()
            await asyncio.gather(asking, leaving, return_exceptions=True)
        if not asking.cancelled():
            asking.result()

    async def _ask(self, scope: Scope, path: str, content: bytes | None, send: Send) -> None:
        has_begun = False
        try:
            async with self._session.request(
                scope["method"],
                self._engine.url.rstrip("/") + path,
                data=content,
                headers=self._headers(scope),
                allow_redirects=False,
            ) as answer:
                if answer.status in _REFUSALS or HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
                    await self._refuse_status(send, answer.status)
                    return
                has_begun = True
                await self._pass_back(scope, answer, send)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("external_engine_failed", reason=repr(error), begun=has_begun)
            if has_begun:
                # The caller has to see that the rest is missing, so the connection is aborted.
                raise
            await _refuse_unanswered(send, error)

    async def _pass_back(self, scope: Scope, answer: aiohttp.ClientResponse, send: Send) -> None:
        headers = [(name.lower(), value) for name, value in answer.headers.items() if name.lower() in _PASSED_BACK]
        await send(_start(answer.status, headers))
        kept = bytearray()
        async for chunk in self._chunks(answer):
            if self._engine.protocol == "oip":
                kept += chunk
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        _tell_outcome(scope, bytes(kept), classes=self._classes)
        await send({"type": "http.response.body", "body": b""})

    def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        chunks = answer.content.iter_any()
        return self._rewording.of(chunks, content_type=answer.content_type) if self._rewording else aiter(chunks)

    def _translated(self, path: str, body: bytes) -> tuple[str, bytes | None]:
        """Return path and body with the server's name for the model."""
        if self._engine.protocol == "oip":
            _, _, rest = path.removeprefix("/v2/models/").partition("/")
            # A version in the path is ours; the server's is the one in its description.
            rest = rest.rpartition("/")[2]
            return f"/v2/models/{self._engine.model}" + (f"/{rest}" if rest else ""), body or None
        if not body:
            return path, None
        try:
            fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"the body is not a JSON object: {error}") from error
        return path, msgspec.json.encode({**fields, "model": self._engine.model})

    def _headers(self, scope: Scope) -> dict[str, str]:
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        passed = {name: value for name, value in given.items() if name in _PASSED_ON}
        named = next((given[name] for name in _NAMES_OF_CALL if name in given), None)
        return {**passed, **({"x-request-id": named} if named else {}), **self._secret}

    async def _refuse_status(self, send: Send, status: int) -> None:
        # The server's 401 is about our credential; the caller's own token is valid.
        _log.error("external_engine_refuses", status=status)
        await _refuse(
            send, HTTPStatus.BAD_GATEWAY, "external-engine-refuses", f"the external engine answered {status} to us"
        )


async def _body(receive: Receive) -> bytes | None:
    """Return a body, or None if the caller disconnected before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _left(receive: Receive) -> None:
    """Return once the caller is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse_unanswered(send: Send, error: Exception) -> None:
    if refused_address(error):
        # Callers must not learn where our hosts are in their network.
        reason = "the external engine is at an address that is not granted"
        await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, _NOT_GRANTED, reason, (_UNANSWERED,))
        return
    # An engine that accepted the call and is silent may still be working on it, unlike one that was not reached.
    is_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
    status = HTTPStatus.GATEWAY_TIMEOUT if is_late else HTTPStatus.SERVICE_UNAVAILABLE
    more = () if is_late else (_UNANSWERED,)
    await _refuse(send, status, _UNREACHABLE, "the external engine did not answer", more)


async def _refuse(send: Send, status: int, code: str, reason: str, more: Iterable[tuple[str, str]] = ()) -> None:
    error = {"message": reason, "type": "server_error", "param": None, "code": code}
    await _answer(send, status, msgspec.json.encode({"error": error}), more)


async def _answer(send: Send, status: int, content: bytes, more: Iterable[tuple[str, str]] = ()) -> None:
    headers = [("content-type", "application/json"), ("content-length", str(len(content))), *more]
    await send(_start(status, headers))
    await send({"type": "http.response.body", "body": content})


def _start(status: int, headers: Iterable[tuple[str, str]]) -> Message:
    encoded = [(_raw_bytes(name), _raw_bytes(value)) for name, value in headers]
    return {"type": "http.response.start", "status": int(status), "headers": encoded}


def _raw_bytes(text: str) -> bytes:
    """Return a header's bytes, whatever encoding the server uses."""
    return text.encode("utf-8", "surrogateescape")


def _tell_outcome(scope: Scope, content: bytes, *, classes: Sequence[str]) -> None:
    outcome = scope.get(Outcome.SCOPE_KEY)
    if not isinstance(outcome, Outcome) or not content:
        return
    try:
        outputs = msgspec.json.decode(content, type=_Answer).outputs
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if outputs and outputs[0].data:
        first = outputs[0].data[: max(1, len(classes))]
        outcome.prediction = predicted_of(first, datatype=outputs[0].datatype, classes=classes)
