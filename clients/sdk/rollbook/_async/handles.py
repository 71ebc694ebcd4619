"""One endpoint and one rollout, with the words that people have for what they do with them."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rollbook import resources
from rollbook._async import operations
from rollbook._async.changes import AsyncChanges
from rollbook._async.endpoints import AsyncEndpoints
from rollbook._async.gateway import AsyncGateway
from rollbook.errors import RollbookError, TookTooLong
from rollbook.progress import awaited, line_of, require_no_failure

if TYPE_CHECKING:
    from rollbook.inference.result import InferenceResult

_LOOK_EVERY_S = 1.0
"""What is waited for is also looked at this often, as not all of it shows in the events of one thing."""

Progress = Callable[[str], object]


class AsyncRolloutHandle:
    """One rollout: `rollbook.rollout(id)`, or what `endpoint.rollout(…)` returns."""

    def __init__(self, rollouts: operations.AsyncRollouts, rollout_id: str, *, log: operations.AsyncLog) -> None:
        """Name it; nothing is sent yet."""
        self._rollouts = rollouts
        self._log = log
        self.id = rollout_id

    async def get(self) -> resources.Rollout:
        """Return its phase, step and last verdicts."""
        return await self._rollouts.get(self.id)

    async def wait(self, *, timeout_s: float = 3_600.0, progress: Progress | None = None) -> resources.Rollout:
        """Return the rollout once it is over, promoted or aborted; its `reason` says why.

        `progress` is called with a sentence each time that phase, weight or reason change, for example `print`.

        Raises:
            TookTooLong: it is not over in time, and goes on.
        """
        deadline, shown = time.monotonic() + timeout_s, ""
        changes = AsyncChanges(self._log)
        while True:
            current = await self.get()
            line = line_of(current)
            if line != shown and progress is not None:
                progress(line)
                shown = line
            if current.is_over:
                return current
            if time.monotonic() > deadline:
                raise TookTooLong(f"rollout {self.id} is still {current.phase} after {timeout_s:g} s")
            await changes.wait(self.id, at_most_s=_LOOK_EVERY_S)

    async def pause(self, reason: str) -> resources.Rollout:
        """Keep the weights as they are until somebody decides."""
        return await self._rollouts.pause(self.id, reason)

    async def resume(self, reason: str) -> resources.Rollout:
        """Go on judging."""
        return await self._rollouts.resume(self.id, reason)

    async def promote(self, reason: str) -> resources.Rollout:
        """Give the candidate everything now, whatever the gates say."""
        return await self._rollouts.promote(self.id, reason)

    async def abort(self, reason: str) -> resources.Rollout:
        """Give the baseline everything again."""
        return await self._rollouts.abort(self.id, reason)

    async def timeline(self) -> list[resources.TimelineItem]:
        """Return each event of the rollout with its reason."""
        return (await self._rollouts.timeline(self.id)).items


class AsyncEndpointHandle:
    """One endpoint: `rollbook.endpoint("digits")`."""

    def __init__(
        self,
        name: str,
        *,
        endpoints: AsyncEndpoints,
        rollouts: operations.AsyncRollouts,
        feedback: operations.AsyncFeedback,
        log: operations.AsyncLog,
        gateway: AsyncGateway,
    ) -> None:
        """Name it; nothing is sent yet."""
        self.name = name
        self._endpoints = endpoints
        self._rollouts = rollouts
        self._feedback = feedback
        self._log = log
        self._gateway = gateway
        self._inputs: list[dict[str, Any]] | None = None
        self._version = ""

    async def get(self) -> resources.Endpoint:
        """Return its deployments, instances and traffic."""
        return await self._endpoints.get(self.name)

    async def wait_until_ready(
        self, *, timeout_s: float = 600.0, progress: Progress | None = None
    ) -> resources.Endpoint:
        """Return the endpoint once its deployments are ready and a gateway routes to them.

        `progress` is called with a sentence each time that something else is waited for, for example `print`.

        Raises:
            RollbookError: a deployment failed; the sentence says why.
            TookTooLong: it is not ready in time.
        """
        deadline, shown = time.monotonic() + timeout_s, ""
        changes = AsyncChanges(self._log)
        while True:
            found = await self.get()
            require_no_failure(found)
            waits_for = awaited(found)
            if not waits_for:
                return found
            if waits_for != shown and progress is not None:
                progress(f"waiting: {waits_for}")
                shown = waits_for
            if time.monotonic() > deadline:
                raise TookTooLong(f"endpoint {self.name} does not answer after {timeout_s:g} s: {waits_for}")
            await changes.wait(found.id, at_most_s=_LOOK_EVERY_S)

    async def rollout(  # noqa: PLR0913  the parts of a rollout are independent
        self,
        version: resources.Version | str,
        *,
        strategy: resources.Canary | None = None,
        gates: Sequence[resources.Gate] | None = None,
        replicas: int | None = None,
        alpha: float | None = None,
        when_inconclusive: Literal["abort", "pause"] | None = None,
        warm_up_timeout_ms: int | None = None,
        max_lag_ms: int | None = None,
        allow_signature_change: bool | None = None,
        when_region_away: Literal["excuse", "hold"] | None = None,
        region_grace_ms: int | None = None,
        when_late: Literal["abort", "pause"] | None = None,
        when_no_data: Literal["abort", "pass", "pause"] | None = None,
        when_too_little_data: Literal["abort", "pass", "pause"] | None = None,
    ) -> AsyncRolloutHandle:
        """Start to move the endpoint to a version; it goes on by itself, judged by its gates.

        Without a strategy the steps are 5, 25, 50 and 100 %; without gates at most 2 points more requests may fail than
        on the version beside it. `alpha` is the share of false verdicts that is accepted, over all looks together.
        No gate passes while records of more than the last `max_lag_ms` are missing. `when_late`, `when_no_data` and
        `when_too_little_data` say what then becomes of a step that is over; they default to `when_inconclusive`.
        A region that does not serve a step within `region_grace_ms` holds it, or is excused if `when_region_away` says.
        """
        reference = version if isinstance(version, str) else version.reference
        started = await self._rollouts.start(
            self.name,
            reference,
            strategy=strategy,
            gates=gates,
            replicas=replicas,
            alpha=alpha,
            when_inconclusive=when_inconclusive,
            warm_up_timeout_ms=warm_up_timeout_ms,
            max_lag_ms=max_lag_ms,
            allow_signature_change=allow_signature_change,
            when_region_away=when_region_away,
            region_grace_ms=region_grace_ms,
            when_late=when_late,
            when_no_data=when_no_data,
            when_too_little_data=when_too_little_data,
        )
        return AsyncRolloutHandle(self._rollouts, started.id, log=self._log)

    async def rollback(self, reason: str, *, epoch: int | None = None) -> resources.Endpoint:
        """Return to an earlier split of the traffic, by default the one before; an active rollout is aborted."""
        return await self._endpoints.rollback(self.name, reason, epoch=epoch)

    async def predict(self, inputs: Any) -> "InferenceResult":  # noqa: ANN401  what numpy or pandas takes
        """Ask the model, through the gateway, as callers do; needs the extra `inference`.

        `inputs` is a pandas frame, an array (or lists) for a model with one input, or a mapping from the inputs' names
        to arrays. What the model takes is asked of the gateway first, and again once another version has answered.

        Raises:
            RollbookError: numpy is missing, or an input does not fit; the sentence names it.
            Problem: the gateway or the engine refuses; `code` says why.
        """
        try:
            from rollbook.inference.inputs import tensors_of  # noqa: PLC0415  numpy is an extra
            from rollbook.inference.result import result_in  # noqa: PLC0415
            from rollbook.inference.tensors import TensorSpec  # noqa: PLC0415
            from rollbook.inference.wire import request_of  # noqa: PLC0415
        except ImportError as error:
            raise RollbookError("numpy is not installed; install it with: pip install 'rollbook[inference]'") from error
        if self._inputs is None:
            self._inputs = await self._gateway.model(self.name)
        specs = msgspec.convert(self._inputs, list[TensorSpec])
        body, headers = request_of(tensors_of(inputs, specs), specs)
        result = result_in(await self._gateway.infer(self.name, body, headers))
        if result.version != self._version:
            # Another version may take other inputs: they are asked for again before the next call.
            self._inputs, self._version = None, result.version
        return result

    async def send_feedback(self, prediction_id: str, value: bool | float | str, *, name: str = "label") -> None:  # noqa: FBT001  a label may be true
        """Say what became known of a prediction, for example its true label; gates of rollouts read it by its name."""
        plain = getattr(value, "item", lambda: value)()  # numpy's numbers are no JSON
        if isinstance(plain, float) and not math.isfinite(plain):
            plain = str(plain)  # nor are infinity and NaN, which a loss may be
        await self._feedback.send([{"prediction_id": prediction_id, "name": name, "value": plain}])
