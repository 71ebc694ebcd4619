"""An endpoint of the demo's digits on a running stack: versions, live traffic with late labels, short rollouts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from rollbook import Rollbook, RollbookError
from rollbook.resources import Rollout
from rollbook_demo.load import Plan
from rollbook_demo.models import SIGNATURE, golden_example, read_digits, save_version, train_versions
from rollbook_demo.traffic import Traffic
from tests.support.eventually import eventually
from tests.support.plain_http import NO_AUTHORITIES
from tests.support.stack import RunningStack

REQUESTS_PER_S = 100.0
LABEL_DELAY_S = 0.5
SERVES_WITHIN_S = 180.0
OVER_WITHIN_S = 900.0
GATES: tuple[dict[str, Any], ...] = (
    {"kind": "error_rate", "max_increase": 0.05, "min_requests": 50},
    {"kind": "quality", "feedback_name": "label", "max_drop": 0.1, "min_labels": 50},
)


class DigitsService(msgspec.Struct, frozen=True, kw_only=True):
    """Endpoint and model of the same name; `versions` are the baseline, a better one, a slipped one, the better one."""

    stack: RunningStack
    rollbook: Rollbook
    name: str
    directory: Path
    versions: tuple[str, ...]

    @contextmanager
    def traffic(self, *, requests_per_s: float = REQUESTS_PER_S) -> Iterator[Traffic]:
        """Send live traffic until the block is left; labels follow each answer."""
        plan = Plan(
            gateway_url=self.stack.gateway_url,
            api_url=self.stack.api_url,
            endpoint=self.name,
            inference_token=self.inference_token(),
            api_token=self.stack.admin_token,
            requests_per_s=requests_per_s,
            label_delay_s=LABEL_DELAY_S,
            answers_file=str(self.directory / f"answers-{time.monotonic_ns()}.json"),
        )
        with Traffic(plan) as traffic:
            eventually(lambda: traffic.progress.answered > 0, "the first answer", within_s=SERVES_WITHIN_S)
            yield traffic

    def inference_token(self) -> str:
        """Return a token for the gateway that is good for the endpoint."""
        return self.rollbook.inference_tokens.mint([self.name]).token

    def serves(self) -> bool:
        """Return whether the gateway answers for the endpoint."""
        headers = {"authorization": f"Bearer {self.inference_token()}"}
        try:
            url = f"{self.stack.gateway_url}/v2/models/{self.name}/ready"
            return httpx.get(url, headers=headers, timeout=2, verify=NO_AUTHORITIES).is_success
        except httpx.TransportError:
            return False

    def rollout(self, rollout_id: str) -> Rollout | None:
        """Return a rollout as the API shows it now; nothing while the API is away."""
        try:
            return self.rollbook.rollouts.get(rollout_id)
        except RollbookError:
            return None

    def until_over(self, rollout_id: str) -> Rollout:
        """Wait for a rollout's end."""

        def over() -> Rollout | None:
            seen = self.rollout(rollout_id)
            return seen if seen is not None and seen.is_over else None

        ended = eventually(over, f"{rollout_id} is over", within_s=OVER_WITHIN_S, poll_s=0.25)
        assert ended is not None
        return ended

    def until_step_is_applied(self, rollout_id: str, step: int) -> int:
        """Wait until the gateways serve a step of a rollout; return its epoch."""

        def applied() -> int | None:
            seen = self.rollout(rollout_id)
            if seen is None or seen.step is None or seen.step < step or seen.epoch is None:
                return None
            events = self.rollbook.events(
                stream=seen.endpoint_id, event_type="endpoints.TrafficApplied.v1", limit=1_000
            )
            return seen.epoch if any(one.event["data"]["epoch"] == seen.epoch for one in events) else None

        epoch = eventually(applied, f"step {step} of {rollout_id} is applied", within_s=OVER_WITHIN_S)
        assert epoch is not None
        return epoch

    def deployment_of(self, version: str) -> str:
        """Return the deployment of a version on the endpoint."""
        deployments = self.rollbook.endpoints.get(self.name).deployments
        return next(deployment.id for deployment in deployments if deployment.version == version)


def canary(*weights: float, step_ms: int, bake_ms: int) -> dict[str, Any]:
    """Describe a canary of these weights and then 100 %."""
    steps = [
        {"weight_percent": weight, "min_duration_ms": step_ms, "max_duration_ms": 600_000} for weight in (*weights, 100)
    ]
    return {"kind": "canary", "steps": steps, "bake_time_ms": bake_ms}


def serve_digits(
    stack: RunningStack, rollbook: Rollbook, name: str, *, directory: Path, replicas: int = 1
) -> DigitsService:
    """Register the demo's three versions, create an endpoint on the first and wait until it serves."""
    service = DigitsService(
        stack=stack,
        rollbook=rollbook,
        name=name,
        directory=directory,
        versions=register_versions(rollbook, name, directory),
    )
    rollbook.endpoints.create(name, version=service.versions[0], replicas=replicas)

    def has_all_instances() -> bool:
        deployments = rollbook.endpoints.get(name).deployments
        return len(deployments[0].instances) == replicas

    eventually(has_all_instances, f"{replicas} instances of {name}", within_s=SERVES_WITHIN_S)
    eventually(service.serves, f"{name} serves", within_s=SERVES_WITHIN_S)
    return service


def register_versions(rollbook: Rollbook, model: str, directory: Path) -> tuple[str, ...]:
    """Train and register the demo's versions, and the better one again; return how they are called."""
    digits = read_digits()
    rollbook.models.register(model)
    baseline, better, slipped = train_versions(digits)
    references = []
    for number, trained in enumerate((baseline, better, slipped, better), start=1):
        path = save_version(trained, directory / f"{model}-{number}.skops")
        golden = golden_example(trained, digits.train_images[0])
        references.append(rollbook.versions.register(model, path, signature=SIGNATURE, golden=golden).reference)
    return tuple(references)
