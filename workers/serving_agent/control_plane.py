"""The agent's calls to the control plane: typed, with timeouts, and retried where that may help."""

import random
from asyncio import sleep
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from uuid import uuid4

import httpx
import msgspec
import structlog

from infra.service_client import ServiceClient
from schemas.instances import AnnounceInstance, FailInstance, WithdrawInstance
from workers.serving_agent.errors import PartAwayError, RefusedError

_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
_MIN_PAUSE_S = 0.1
_MAX_PAUSE_S = 5.0
# The control plane accepts 2,000, and so does a rollout, which puts the code before its candidate's reason.
_MAX_REASON = 1_900
_TRY_AGAIN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""A token may be replaced, so the file is reread for each call."""

_log = structlog.get_logger(__name__)


class ControlPlane(ServiceClient):
    """The public API with the agent's service token."""

    timeout = _TIMEOUT

    @asynccontextmanager
    async def artifact(self, digest: str, *, first_byte: int) -> AsyncIterator[httpx.Response]:
        """Stream an artifact from a byte on; an answer with 200 instead of 206 starts at the beginning.

        Raises:
            httpx.HTTPError, OSError: the stream does not start or breaks off.
        """
        headers = {**self._headers(), "accept-encoding": "identity"}
        if first_byte:
            headers["range"] = f"bytes={first_byte}-"
        async with self._client.stream("GET", f"/v1/artifacts/{digest}", headers=headers) as answer:
            answer.raise_for_status()
            yield answer

    async def announce(self, announcement: AnnounceInstance) -> None:
        """Report that an instance may take traffic. Returns once this is recorded.

        Raises:
            RefusedError: the deployment is gone, or the instance belongs elsewhere.
        """
        await self._command("/v1/instances", announcement)

    async def withdraw(self, instance_id: str, *, reason: str, code: str | None = None) -> None:
        """Report that an instance must get no traffic, with a code if it is unhealthy. Returns once this is recorded.

        Raises:
            RefusedError: the control plane does not know the instance.
        """
        await self._command(
            f"/v1/instances/{instance_id}/withdraw", WithdrawInstance(reason=reason[:_MAX_REASON], code=code)
        )

    async def fail(self, instance_id: str, failure: FailInstance) -> None:
        """Report that an instance cannot be started. Returns once this is recorded.

        Raises:
            RefusedError: the deployment is gone.
        """
        body = msgspec.structs.replace(failure, reason=failure.reason[:_MAX_REASON])
        await self._command(f"/v1/instances/{instance_id}/fail", body)

    async def _command(self, path: str, body: msgspec.Struct) -> None:
        # One key for all attempts of a command: an attempt whose answer was lost is not executed twice.
        key, content, pause = str(uuid4()), msgspec.json.encode(body), _MIN_PAUSE_S
        while True:
            try:
                return await self._try(path, content=content, key=key)
            except PartAwayError as error:
                _log.warning("command_not_answered", path=path, reason=str(error), next_try_s=pause)
                await sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
                pause = min(2 * pause, _MAX_PAUSE_S)

    async def _try(self, path: str, *, content: bytes, key: str) -> None:
        try:
            headers = {**self._headers(), "content-type": "application/json", "idempotency-key": key}
            answer = await self._client.post(path, content=content, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise PartAwayError(repr(error)) from error
        if answer.is_success:
            return
        if answer.is_server_error or answer.status_code in _TRY_AGAIN:
            raise PartAwayError(f"{answer.status_code} {answer.text[:300]}")
        raise RefusedError(f"POST {path}: {answer.status_code} {answer.text[:300]}")
