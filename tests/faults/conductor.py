"""One rollout after the other between two good versions, for as long as the chaos lasts."""

import threading
from types import TracebackType
from typing import Self

import structlog

from rollbook import RollbookError
from rollbook.resources import Rollout
from tests.support.digits_service import GATES, DigitsService, canary

_log = structlog.get_logger(__name__)
_PAUSE_S = 1.0
_STEP_MS, _BAKE_MS = 15_000, 10_000


class Conductor:
    """Starts a rollout whenever none is in progress; what the API does not answer is asked again."""

    def __init__(self, service: DigitsService) -> None:
        self._service = service
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.started: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Start no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            try:
                self._look()
            except RollbookError as error:
                _log.info("api_did_not_do_it", error=str(error))

    def _look(self) -> None:
        rollbook, name = self._service.rollbook, self._service.name
        active: list[Rollout] = rollbook.rollouts.list(endpoint=name, active=True)
        self.started.update(rollout.id for rollout in active)
        if active:
            return
        endpoint = rollbook.endpoints.get(name)
        serving = {one.deployment_id for one in endpoint.allocations if one.weight_percent}
        live = {one.version for one in endpoint.deployments if one.id in serving}
        version = next(one for one in (self._service.versions[1], self._service.versions[3]) if one not in live)
        strategy = canary(50, step_ms=_STEP_MS, bake_ms=_BAKE_MS)
        rollbook.rollouts.start(name, version, strategy=strategy, gates=list(GATES), replicas=2)
