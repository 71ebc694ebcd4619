"""Makes a data directory in which most features left something; run with the code of the commit that is to be kept.

`PYTHONPATH=. python …/make_data_directory.py FOLDER`, in a checkout of that commit with its own environment. It leaves
`FOLDER/data` as the stack left it when it stopped, in the middle of a rollout that is paused.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx

from rollbook.resources import CapturePolicy, FailoverPolicy
from rollbook_demo.load import Plan
from rollbook_demo.traffic import Traffic
from tests.support.digits_service import DigitsService, canary, serve_digits
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, running_stack

GATES: tuple[dict[str, Any], ...] = (
    {"kind": "error_rate", "max_increase": 0.3, "min_requests": 15},
    {"kind": "quality", "feedback_name": "label", "max_drop": 0.5, "min_labels": 15},
)
REQUESTS_PER_S = 12.0
_PART = re.compile(r"(?P<partition>.+)_(?P<first>\d+)_(?P<last>\d+)_(?P<level>\d+)")


def main(folder: Path) -> None:
    """Run a stack, use it and stop it."""
    models = folder / "models"
    models.mkdir(parents=True)
    with running_stack(folder / "data") as stack, stack.client() as rollbook:
        service = serve_digits(stack, rollbook, "digits", directory=models)
        _let_people_in(stack)
        _choose_policies(rollbook)
        _roll_out(stack, rollbook, service)
    _leave_out_what_is_merged(folder / "data" / "clickhouse" / "store")
    shutil.rmtree(folder / "data" / "logs")
    for left in ("lock", "kafka/server.properties", "gateway/local/probe.sock", "gateway/local/marker.sock"):
        (folder / "data" / left).unlink(missing_ok=True)


def _let_people_in(stack: RunningStack) -> None:
    headers = {"authorization": f"Bearer {stack.admin_token}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=10.0) as api:
        for name, role in (("Ada", "admin"), ("Bob", "viewer")):
            body = {"kind": "person", "name": name, "email": f"{name.lower()}@example.org", "role": "viewer"}
            made = api.post("/v1/principals", json=body).raise_for_status().json()
            api.post(f"/v1/principals/{made['id']}/role", json={"role": role}).raise_for_status()
        api.post(f"/v1/principals/{made['id']}/erase", json={"reason": "asked to be forgotten"}).raise_for_status()


def _choose_policies(rollbook: Any) -> None:  # noqa: ANN401  the client of another release
    rollbook.endpoints.set_capture_policy("digits", CapturePolicy(sampling_rate=0.2), reason="a fifth is enough")
    rollbook.endpoints.set_failover_policy("digits", FailoverPolicy(max_retries=2), reason="twice is enough")
    rollbook.endpoints.choose_assignment_key("digits", header="x-customer", reason="customers stay on a version")
    lost = rollbook.inference_token(["digits"])
    rollbook.inference_tokens.revoke(token_id=lost.id, reason="lost")
    rollbook.inference_tokens.rotate_key(reason="yearly")


def _roll_out(stack: RunningStack, rollbook: Any, service: DigitsService) -> None:  # noqa: ANN401  the same
    plan = Plan(
        gateway_url=stack.gateway_url,
        api_url=stack.api_url,
        endpoint="digits",
        inference_token=service.inference_token(),
        api_token=stack.admin_token,
        requests_per_s=REQUESTS_PER_S,
        label_delay_s=0.5,
        answers_file=str(service.directory / "answers.json"),
    )
    with Traffic(plan) as traffic:
        eventually(lambda: traffic.progress.answered > 0, "the first answer", within_s=120.0)
        strategy = canary(50, step_ms=3_000, bake_ms=1_500)
        first = rollbook.rollouts.start("digits", service.versions[1], strategy=strategy, gates=list(GATES))
        ended = service.until_over(first.id)
        assert ended.phase == "completed", ended.reason
        second = rollbook.rollouts.start(
            "digits", service.versions[3], strategy=canary(50, step_ms=60_000, bake_ms=1_500), gates=list(GATES[:1])
        )
        service.until_step_is_applied(second.id, 0)
        rollbook.rollouts.pause(second.id, reason="the release changes meanwhile")
        traffic.finish()


def _leave_out_what_is_merged(store: Path) -> None:
    """Delete parts of tables that a larger part covers, as ClickHouse would some minutes later."""
    for table in store.glob("*/*"):
        parts = [(part, found) for part in table.iterdir() if (found := _PART.fullmatch(part.name))]
        for part, found in parts:
            if any(_covers(other, found) for _, other in parts):
                shutil.rmtree(part)


def _covers(larger: re.Match[str], smaller: re.Match[str]) -> bool:
    return (
        larger["partition"] == smaller["partition"]
        and int(larger["level"]) > int(smaller["level"])
        and int(larger["first"]) <= int(smaller["first"])
        and int(smaller["last"]) <= int(larger["last"])
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
