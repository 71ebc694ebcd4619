"""Who may load and unload adapters in an engine that is not ours: its own host, and no one else."""

from pathlib import Path

import pytest

from schemas.events.endpoints import CapturePolicy
from serving.capture.in_engine.rollbook_capture.middleware import CaptureMiddleware
from serving.capture.in_engine.rollbook_capture.wire import Message, Scope
from serving.capture.policy_file import PolicyInForce, write_policy
from tests.support.captured_engine import WHOLE, Engine


@pytest.mark.parametrize(
    ("client", "is_taken"), [("10.0.0.1", True), ("10.0.0.2", False), ("127.0.0.1", False), (None, False)]
)
async def test_only_its_own_host_changes_an_engine(tmp_path: Path, client: str | None, *, is_taken: bool) -> None:
    engine = Engine(WHOLE)
    middleware = CaptureMiddleware(engine, environ(tmp_path))
    ends = {"server": ("10.0.0.1", 8_000), "client": (client, 50_000) if client else None}
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/load_lora_adapter", "headers": [], **ends}
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"lora_name": "x"}', "more_body": False}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await middleware(scope, receive, send)
    middleware.close()

    assert (bool(engine.asked), statuses) == (is_taken, [200 if is_taken else 404])


def environ(folder: Path) -> dict[str, str]:
    file = folder / "policy.json"
    write_policy(file, PolicyInForce(version=1, policy=CapturePolicy()))
    ids = dict.fromkeys(("BOOT_ID", "INSTANCE_ID", "DEPLOYMENT_ID"), "one")
    own = {**ids, "SPOOL_DIR": str(folder / "spool"), "POLICY_FILE": str(file)}
    return {f"ROLLBOOK_CAPTURE_{name}": value for name, value in own.items()}
