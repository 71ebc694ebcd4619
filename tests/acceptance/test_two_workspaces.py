"""A second workspace on a running stack: served, judged and measured like the first, and invisible to it."""

from pathlib import Path

import pytest

from rollbook import Problem, Rollbook
from tests.support.command_line import CommandLine
from tests.support.digits_service import GATES, canary, serve_digits
from tests.support.eventually import eventually
from tests.support.refusals import refused
from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(1_200)
STRATEGY = canary(50, step_ms=1_000, bake_ms=1_000)
WITHIN_S = 180.0


@pytest.fixture
def cli(stack: RunningStack, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capfd, "--data-dir", str(stack.data_dir))


def test_a_workspace_is_created_serves_and_is_closed(
    stack: RunningStack, rollbook: Rollbook, name: str, cli: CommandLine, tmp_path: Path
) -> None:
    tenant = f"tenant-of-{name}"
    created = cli.answer("workspace", "create", tenant)
    registered = cli.answer("--workspace", tenant, "principal", "register", "ada", "--role", "admin")

    with Rollbook(stack.api_url, token=registered["token"]) as ada:
        # Both workspaces have an endpoint and a model of the same name.
        folders = [tmp_path / "home", tmp_path / "tenant"]
        for folder in folders:
            folder.mkdir()
        serve_digits(stack, rollbook, name, directory=folders[0])
        service = serve_digits(stack, ada, name, directory=folders[1])
        with service.traffic(requests_per_s=20.0):
            started = ada.rollouts.start(
                name, service.versions[1], strategy=STRATEGY, gates=[{**GATES[0], "min_requests": 20}]
            )
            ended = service.until_over(started.id)
        own, at_home = ada.endpoints.get(name), rollbook.endpoints.get(name)
        sql = "SELECT count(DISTINCT endpoint_id) AS endpoints, count() > 20 AS has_many FROM request_records"
        counted = ada.query(sql)["data"]
        with refused(rollbook, "rollout-not-found"):
            rollbook.rollouts.get(started.id)

        assert created["name"] == tenant
        assert ended.phase == "completed", ended.reason
        assert own.id != at_home.id
        assert [each.version for each in own.deployments] == [service.versions[1]]
        assert counted == [[1, 1]]

        with refused(rollbook, "workspace-in-use"):
            rollbook.workspaces.close(tenant, reason="the test is over")
        removed = cli.answer("--workspace", tenant, "endpoint", "remove", name, "--reason", "the test is over")
        eventually(lambda: not stack.engines(own.deployments[0].id), "the engine is stopped", within_s=WITHIN_S)
        rollbook.workspaces.close(tenant, reason="the test is over")
        with pytest.raises(Problem) as closed:
            ada.models.list()

    assert removed["id"] == own.id
    assert closed.value.code == "workspace-closed"
    assert rollbook.endpoints.get(name).id == at_home.id
