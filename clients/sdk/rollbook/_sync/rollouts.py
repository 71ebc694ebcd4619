# Generated from ../_async/rollouts.py by generate_sync.py; edit that one.
"""Rollouts: moving an endpoint's traffic to another version, guarded by gates."""

from typing import Any

from rollbook import _wire
from rollbook._sync.connection import Connection
from rollbook.resources import Rollout


class Rollouts:
    """Rollouts of a workspace."""

    def __init__(self, connection: Connection) -> None:
        """Talk through the client's connection."""
        self._connection = connection

    def start(  # noqa: PLR0913  the parts of a rollout are independent
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
        return self._connection.command("/v1/rollouts", body, Rollout)

    def get(self, rollout: str) -> Rollout:
        """Return a rollout."""
        return self._connection.get(f"/v1/rollouts/{_wire.segment(rollout)}", Rollout)

    def list(
        self, *, endpoint: str | None = None, active: bool | None = None, limit: int | None = None
    ) -> list[Rollout]:
        """Return rollouts, of one endpoint or all, active ones or all, oldest first; at most `limit` of them."""
        flag = None if active is None else str(active).lower()
        return self._connection.list_all(
            "/v1/rollouts", _wire.Page[Rollout], limit=limit, endpoint=endpoint, active=flag
        )

    def pause(self, rollout: str, *, reason: str) -> Rollout:
        """Keep the weights as they are until somebody decides."""
        return self._decide(rollout, "pause", reason)

    def resume(self, rollout: str, *, reason: str) -> Rollout:
        """Go on judging."""
        return self._decide(rollout, "resume", reason)

    def promote(self, rollout: str, *, reason: str) -> Rollout:
        """Give the candidate everything now, whatever the gates say."""
        return self._decide(rollout, "promote", reason)

    def abort(self, rollout: str, *, reason: str) -> Rollout:
        """Give the baseline everything again."""
        return self._decide(rollout, "abort", reason)

    def timeline(
        self, rollout: str, *, min_position: int | None = None, wait_ms: int | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Return each event of a rollout with its reason; `min_position` waits for the view to have read so far."""
        path = f"/v1/rollouts/{_wire.segment(rollout)}/timeline"
        page = self._connection.get(path, dict[str, Any], min_position=min_position, wait_ms=wait_ms)
        return tuple(page["items"])

    def _decide(self, rollout: str, decision: str, reason: str) -> Rollout:
        return self._connection.command(
            f"/v1/rollouts/{_wire.segment(rollout)}/{decision}", {"reason": reason}, Rollout
        )
