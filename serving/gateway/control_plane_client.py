"""The few calls that the follower makes to the control plane."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from infra.bearer_token import read_bearer_token
from schemas.envelope import rfc3339
from schemas.failover import FailoverReport, ReportFailoverStart
from schemas.identifiers import WORKSPACE_HEADER
from schemas.inference_keys import KeySetBase
from serving.gateway.routing_state import TokenRules

_TIMEOUT_S = 10.0


class _Keys(KeySetBase, frozen=True, kw_only=True):
    keys: tuple[dict[str, Any], ...] = ()
    is_public: bool = False
    # An earlier control plane does not say who is refused.
    revoked_subjects: tuple[str, ...] | None = None  # type: ignore[assignment]

    def rules(self, *, revoked_subjects: tuple[str, ...]) -> TokenRules:
        """Return the rules that the gateway checks tokens by."""
        return TokenRules(
            workspace=self.workspace,
            version=self.version,
            keys=self.keys,
            revoked_subjects=tuple(sorted(revoked_subjects)),
            revoked_tokens=self.revoked_tokens,
            revoked_principals=self.revoked_principals,
        )


class RefusedByControlPlaneError(Exception):
    """The control plane understood the call and rejected it; repeating the call gets the same answer."""


class ControlPlaneClient:
    """Calls with the service token, which is reread for each call because it may be replaced.

    `workspace_of` says to which workspace an endpoint belongs; None where it is unknown.
    Every call raises httpx.HTTPError or OSError if the control plane cannot answer now.
    """

    def __init__(self, url: str, *, token_file: Path, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, transport=transport)
        self._token_file = token_file
        self.workspace_of: Callable[[str], str | None] = lambda _: None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def token_rules(self, *, known: TokenRules) -> TokenRules:
        """Fetch the public keys, and revoked subjects if the answer has them; otherwise the known ones stay."""
        answer = await self._client.get("/v1/inference-tokens/keys", headers=self._authorization())
        answer.raise_for_status()
        keys = msgspec.json.decode(answer.content, type=_Keys)
        if keys.is_public:
            # The token is not a service's at the moment: what was refused before still is.
            return msgspec.structs.replace(known, workspace=keys.workspace, version=keys.version, keys=keys.keys)
        revoked = known.revoked_subjects if keys.revoked_subjects is None else keys.revoked_subjects
        return keys.rules(revoked_subjects=revoked)

    async def report_applied(self, endpoint_id: str, *, epoch: int, region: str, gateway_id: str, at_ms: int) -> None:
        """Report that the region serves an epoch. Idempotent.

        Raises:
            RefusedByControlPlaneError: the endpoint or epoch does not exist.
        """
        body = {"epoch": epoch, "region": region, "gateway_id": gateway_id, "applied_at": rfc3339(at_ms)}
        await self._command(endpoint_id, "applied", body)

    async def report_failover(self, endpoint_id: str, report: FailoverReport) -> None:
        """Report that a failover started or ended. Idempotent.

        Raises:
            RefusedByControlPlaneError: the endpoint or a deployment no longer exists.
        """
        what = "failover-started" if isinstance(report, ReportFailoverStart) else "failover-ended"
        await self._command(endpoint_id, what, msgspec.structs.asdict(report))

    async def _command(self, endpoint_id: str, what: str, body: Mapping[str, object]) -> None:
        headers = self._authorization()
        if (workspace := self.workspace_of(endpoint_id)) is not None:
            headers[WORKSPACE_HEADER] = workspace
        answer = await self._client.post(f"/v1/endpoints/{endpoint_id}/{what}", json=dict(body), headers=headers)
        if answer.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise RefusedByControlPlaneError(answer.text[:500])
        answer.raise_for_status()

    async def wake(self, endpoint_id: str, deployment_id: str, *, reason: str) -> None:
        """Ask for the first replica of a sleeping deployment. Idempotent.

        Raises:
            RefusedByControlPlaneError: the endpoint or deployment does not exist.
        """
        await self._command(endpoint_id, f"deployments/{deployment_id}/wake", {"reason": reason})

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {read_bearer_token(self._token_file)}"}
