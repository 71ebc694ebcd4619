"""What the agent asks an engine: who it is, whether it is ready, and its golden input."""

import math
import ssl
from http import HTTPStatus
from typing import Any, Protocol

import httpx
import msgspec

from schemas.events.registry import GoldenExample
from workers.serving_agent.errors import EngineBusyError, EngineFaultError, NeverServesError, PartAwayError

TIMEOUT = httpx.Timeout(5.0, connect=1.0)
GOLDEN_TIMEOUT = httpx.Timeout(30.0, connect=1.0)
# Engines are called without TLS, but each httpx client loads the certificates of all authorities, for 20 ms or more.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# What reading an answer can raise, because an external server may write anything: not JSON, not UTF-8, huge numbers, or
# endlessly nested lists.
UNREADABLE = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
_BEGINNING_BYTES = 300
_WRONG = "golden-answer-wrong"
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class EngineIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of GET /rollbook/instance, as far as the agent needs it."""

    instance_id: str
    boot_id: str
    pid: int
    in_flight: int


def connection(*, host: str, port: int) -> httpx.AsyncClient:
    """Return a client for an engine; it uses no proxy, because the engine is on this host."""
    return httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=TIMEOUT, verify=_NO_AUTHORITIES, trust_env=False)


class EngineClient(Protocol):
    """One engine at its address. Each call raises PartAwayError if there is no valid answer."""

    async def close(self) -> None:
        """Close the connections."""
        ...

    async def identity(self) -> EngineIdentity:
        """Ask who is answering."""
        ...

    async def is_ready(self) -> bool:
        """Ask whether the model is loaded."""
        ...

    async def is_live(self) -> bool:
        """Ask whether the engine answers at all."""
        ...

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        """Send the golden input.

        Raises:
            NeverServesError: the answer differs from the expected one.
            EngineBusyError: the engine rejects it because of its load.
            PartAwayError: there was no answer.
        """
        ...


async def ask_identity(client: httpx.AsyncClient) -> EngineIdentity:
    """Ask which instance answers at an address; all our engines report it the same way."""
    try:
        answer = await client.get("/rollbook/instance")
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=EngineIdentity)
    except (httpx.HTTPError, *UNREADABLE) as error:
        raise PartAwayError(f"GET /rollbook/instance: {error!r}") from error


async def succeeds(client: httpx.AsyncClient, path: str) -> bool:
    """Return whether a GET succeeds."""
    try:
        return (await client.get(path)).is_success
    except (httpx.HTTPError, *UNREADABLE):
        return False


async def ask_golden(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> bytes:
    """Send a golden input.

    Raises:
        NeverServesError: the engine rejects it.
        EngineFaultError: the engine fails on it.
        EngineBusyError: it rejects it because of its load.
        PartAwayError: there was no answer.
    """
    try:
        answer = await client.post(path, json=body, timeout=GOLDEN_TIMEOUT)
    except (httpx.HTTPError, *UNREADABLE) as error:
        raise PartAwayError(f"the golden input was not answered: {error!r}") from error
    if answer.status_code in _BUSY:
        raise EngineBusyError(f"the engine answered {answer.status_code}: {_beginning(answer)}")
    if not answer.is_success:
        reason = f"the engine answered {answer.status_code}: {_beginning(answer)}"
        raise EngineFaultError(_WRONG, reason) if answer.is_server_error else wrong_answer(reason)
    return answer.content


def are_equal(given: tuple[Any, ...], expected: tuple[Any, ...], *, tolerance: float) -> bool:
    """Compare values, with a tolerance for numbers."""
    return len(given) == len(expected) and all(
        _same(one, other, tolerance=tolerance) for one, other in zip(given, expected, strict=True)
    )


def shortened(values: tuple[Any, ...]) -> str:
    """Format values to fit on a line."""
    text = str(list(values[:8]))
    return text if len(values) <= 8 else f"{text[:-1]}, … {len(values)} values]"  # noqa: PLR2004 - what fits on a line


def wrong_answer(reason: str) -> NeverServesError:
    """Say that an engine's answer to its golden input is wrong."""
    return NeverServesError(_WRONG, reason)


def _beginning(answer: httpx.Response) -> str:
    """Return the beginning of an answer, whatever encoding it claims."""
    return answer.content[:_BEGINNING_BYTES].decode(errors="replace")


def _same(given: object, expected: object, *, tolerance: float) -> bool:
    if isinstance(given, bool) or isinstance(expected, bool):
        return given is expected
    if isinstance(given, int | float) and isinstance(expected, int | float):
        try:
            return math.isclose(given, expected, rel_tol=0.0, abs_tol=tolerance)
        except OverflowError:
            # An integer that no float can represent.
            return False
    return given == expected
