"""What the agent asks an engine: who it is, whether it is ready, and its golden input."""

import math
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from schemas.events.registry import GoldenExample, GoldenInput
from workers.serving_agent.errors import EngineBusyError, NeverServesError, PartAwayError

_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_GOLDEN_TIMEOUT = httpx.Timeout(30.0, connect=1.0)


class EngineIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of GET /rollbook/instance, as far as the agent needs it."""

    instance_id: str
    boot_id: str
    pid: int
    in_flight: int


class _Output(msgspec.Struct, frozen=True):
    name: str
    data: tuple[bool | int | float | str, ...]


class _InferAnswer(msgspec.Struct, frozen=True):
    outputs: tuple[_Output, ...]


class EngineClient:
    """One engine at its address. Each call raises PartAwayError where no good answer comes."""

    def __init__(self, *, host: str, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=_TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def identity(self) -> EngineIdentity:
        """Ask who answers here."""
        return await self._ask("/rollbook/instance", EngineIdentity)

    async def is_ready(self) -> bool:
        """Ask whether the model is loaded."""
        try:
            return (await self._client.get("/v2/health/ready")).is_success
        except httpx.TransportError:
            return False

    async def is_live(self) -> bool:
        """Ask whether the engine answers at all."""
        try:
            return (await self._client.get("/v2/health/live")).is_success
        except httpx.TransportError:
            return False

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        """Ask the golden input.

        Raises:
            NeverServesError: the answer differs from the expected one.
            EngineBusyError: the engine refuses for its load.
            PartAwayError: no answer came.
        """
        body = {"inputs": [_tensor(tensor) for tensor in golden.inputs]}
        try:
            answer = await self._client.post(f"/v2/models/{model}/infer", json=body, timeout=_GOLDEN_TIMEOUT)
        except httpx.TransportError as error:
            raise PartAwayError(f"the golden input got no answer: {error!r}") from error
        if answer.status_code in _BUSY:
            raise EngineBusyError(f"the engine answered {answer.status_code}: {answer.text[:300]}")
        if not answer.is_success:
            raise _wrong(f"the engine answered {answer.status_code}: {answer.text[:300]}")
        try:
            outputs = msgspec.json.decode(answer.content, type=_InferAnswer).outputs
        except msgspec.DecodeError as error:
            raise _wrong(f"the engine's answer is none of the protocol: {error}") from error
        given = {output.name: output.data for output in outputs}
        for name, expected in golden.outputs.items():
            if not _equal(given.get(name, ()), expected, tolerance=golden.tolerance):
                raise _wrong(f"output {name!r} should be {_short(expected)} and is {_short(given.get(name, ()))}")

    async def _ask(self, path: str, answer_type: type[EngineIdentity]) -> EngineIdentity:
        try:
            answer = await self._client.get(path)
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=answer_type)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise PartAwayError(f"GET {path}: {error!r}") from error


def _tensor(tensor: GoldenInput) -> dict[str, Any]:
    fields = msgspec.structs.asdict(tensor)
    if tensor.datatype.startswith(("INT", "UINT")):
        # JSON may have turned 3 into 3.0 on its way through the log; the engine is strict about it.
        fields["data"] = tuple(int(value) for value in tensor.data)
    return fields


def _equal(given: tuple[Any, ...], expected: tuple[Any, ...], *, tolerance: float) -> bool:
    return len(given) == len(expected) and all(
        _same(one, other, tolerance=tolerance) for one, other in zip(given, expected, strict=True)
    )


def _same(given: object, expected: object, *, tolerance: float) -> bool:
    if isinstance(given, bool) or isinstance(expected, bool):
        return given is expected
    if isinstance(given, int | float) and isinstance(expected, int | float):
        return math.isclose(given, expected, rel_tol=0.0, abs_tol=tolerance)
    return given == expected


def _short(values: tuple[Any, ...]) -> str:
    text = str(list(values[:8]))
    return text if len(values) <= 8 else f"{text[:-1]}, … {len(values)} values]"  # noqa: PLR2004 - what fits a line


def _wrong(reason: str) -> NeverServesError:
    return NeverServesError("golden-answer-wrong", reason)
