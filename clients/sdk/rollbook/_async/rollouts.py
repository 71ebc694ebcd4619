"""Rollouts: moving an endpoint's traffic to another version, guarded by gates."""

from typing import Any

from rollbook import _wire
from rollbook._async.connection import AsyncConnection
from rollbook.resources import Rollout


class AsyncRollouts:
    """Rollouts of a workspace."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    async def start(  # noqa: PLR0913  the parts of a rollout are independent
        self,
        endpoint: str,
        version: str,
        *,
        strategy: dict[str, Any] | None = None,
        gates: list[dict[str, Any]] | None = None,
        replicas: int | None = None,
        alpha: float | None = None,
        when_inconclusive: str | None = None,
        warm_up_timeout_ms: int | None = None,
    ) -> Rollout:
        """Start to move an endpoint to a version (`model/number`); it goes on by itself, judged by its gates.

        A candidate that is not ready after `warm_up_timeout_ms` ends the rollout.
        """
        body = {
            "endpoint": endpoint,
            "version": version,
            "strategy": strategy,
            "gates": gates,
            "replicas": replicas,
            "alpha": alpha,
            "when_inconclusive": when_inconclusive,
            "warm_up_timeout_ms": warm_up_timeout_ms,
        }
        return await self._connection.command("/v1/rollouts", body, Rollout)

    async def get(self, rollout: str) -> Rollout:
        """Return a rollout."""
        return await self._connection.get(f"/v1/rollouts/{_wire.segment(rollout)}", Rollout)

    async def list(
        self, *, endpoint: str | None = None, active: bool | None = None, limit: int | None = None
    ) -> list[Rollout]:
        """Return rollouts, of one endpoint or all, active ones or all, oldest first; at most `limit` of them."""
        flag = None if active is None else str(active).lower()
        return await self._connection.list_all(
            "/v1/rollouts", _wire.Page[Rollout], limit=limit, endpoint=endpoint, active=flag
        )

    async def pause(self, rollout: str, *, reason: str) -> Rollout:
        """Keep the weights as they are until somebody decides."""
        return await self._decide(rollout, "pause", reason)

    async def resume(self, rollout: str, *, reason: str) -> Rollout:
        """Go on judging."""
        return await self._decide(rollout, "resume", reason)

    async def promote(self, rollout: str, *, reason: str) -> Rollout:
        """Give the candidate everything now, whatever the gates say."""
        return await self._decide(rollout, "promote", reason)

    async def abort(self, rollout: str, *, reason: str) -> Rollout:
        """Give the baseline everything again."""
        return await self._decide(rollout, "abort", reason)

    async def timeline(
        self, rollout: str, *, min_position: int | None = None, wait_ms: int | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Return each event of a rollout with its reason; `min_position` waits for the view to have read so far."""
        path = f"/v1/rollouts/{_wire.segment(rollout)}/timeline"
        page = await self._connection.get(path, dict[str, Any], min_position=min_position, wait_ms=wait_ms)
        return tuple(page["items"])

    async def _decide(self, rollout: str, decision: str, reason: str) -> Rollout:
        return await self._connection.command(
            f"/v1/rollouts/{_wire.segment(rollout)}/{decision}", {"reason": reason}, Rollout
        )
