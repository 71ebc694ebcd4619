"""Every verb of the command line on the whole stack, rightly and wrongly used, as a person types it."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollbook import Rollbook
from rollbook_demo.models import read_digits, save_version, train_versions
from tests.support.command_line import CommandLine
from tests.support.digits_service import GATES, DigitsService, canary, serve_digits
from tests.support.eventually import eventually
from tests.support.stack import RunningStack, rollbook_command

pytestmark = pytest.mark.timeout(1_200)
WITHIN_S = 120.0


@pytest.fixture
def cli(stack: RunningStack, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capfd, "--data-dir", str(stack.data_dir))


@pytest.fixture(scope="module")
def service(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitsService]:
    with stack.client() as rollbook:
        yield serve_digits(stack, rollbook, "typed", directory=tmp_path_factory.mktemp("typed"))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_version(train_versions(read_digits())[1], tmp_path_factory.mktemp("model") / "mine.skops")


def test_a_model_is_registered_and_served(cli: CommandLine, name: str, model_file: Path) -> None:
    cli.told("model", "register", name, "--description", "typed by hand")
    registered = cli.answer("version", "register", name, str(model_file), "--metric", "accuracy=0.96")
    created = cli.answer("endpoint", "create", name, "--version", f"{name}/1")

    assert name in cli.told("model", "list", name)
    assert cli.answer("model", "show", name)["latest_version"] == 1
    assert registered["metrics"] == {"accuracy": 0.96}
    assert registered["inferred"] == ["inputs", "outputs"]
    assert cli.answer("version", "show", f"{name}/1")["id"] == registered["id"]
    assert [one["number"] for one in cli.answer("version", "list", name)] == [1]
    assert cli.answer("endpoint", "show", name)["id"] == created["id"]
    assert name in cli.told("endpoint", "list")
    assert f"{name}/1" in cli.told("traffic", "show", name)
    assert cli.answer("endpoint", "tokens", name) == []
    assert "tokens in" in cli.told("endpoint", "tokens", name)


def test_an_alias_is_set_and_taken_away(cli: CommandLine, name: str, model_file: Path) -> None:
    cli.told("model", "register", name)
    cli.told("version", "register", name, str(model_file), "--input", "pixels:FP64:-1x64")

    named = cli.answer("model", "set-alias", name, "champion", "1", "--reason", "the first")
    plain = cli.answer("model", "remove-alias", name, "champion", "--reason", "done")

    assert (named["aliases"], plain["aliases"]) == ({"champion": 1}, {})
    assert "lower-case letters" in cli.refusal("model", "set-alias", name, "7", "1", "--reason", "x")
    assert "no version" in cli.refusal("model", "set-alias", name, "champion", "9", "--reason", "x")


def test_a_capture_policy_is_seen_and_changed_option_by_option(cli: CommandLine, name: str, model_file: Path) -> None:
    cli.told("model", "register", name)
    cli.told("version", "register", name, str(model_file), "--input", "pixels:FP64:-1x64")
    created = cli.answer("endpoint", "create", name, "--version", f"{name}/1")

    before = cli.answer("capture", "show", name)
    first = cli.answer("capture", "set", name, "--sampling-rate", "0.5", "--hashed", "pixels", "--reason", "less")
    second = cli.answer("capture", "set", name, "--inputs", "none", "--hashed", "none", "--reason", "none at all")

    assert (before["inputs"], before["sampling_rate"], before["version"]) == ("all", 1.0, 0)
    assert (first["hashed"], first["sampling_rate"]) == (["pixels"], 0.5)
    assert (second["inputs"], second["hashed"], second["sampling_rate"]) == ([], [], 0.5)
    assert "CapturePolicyChanged" in cli.told("events", "tail", "--no-follow", "--stream", created["id"])
    assert "no version on endpoint" in cli.refusal("capture", "set", name, "--hashed", "pixle", "--reason", "x")
    assert "name what to change" in cli.refusal("capture", "set", name, "--reason", "x")


def test_a_scaling_policy_is_set_explained_and_replayed(
    cli: CommandLine, service: DigitsService, tmp_path: Path
) -> None:
    other = tmp_path / "policy.json"
    other.write_text(json.dumps({"max_replicas": 2, "in_flight": 100}))

    before = cli.answer("scaling", "show", service.name)
    chosen = cli.answer("scaling", "set", service.name, "--max", "1", "--in-flight", "4", "--reason", "typed")
    changed = cli.answer("scaling", "set", service.name, "--in-flight", "8", "--reason", "typed")
    (why,) = eventually(
        lambda: [each for each in cli.answer("scaling", "why", service.name)["deployments"] if each["code"]],
        "a measurement",
        within_s=180,
    )
    replayed = cli.told("scaling", "replay", "--policy", str(other), "--deployment", why["deployment_id"])
    off = cli.answer("scaling", "set", service.name, "--off", "--reason", "typed")

    assert (before, off) == ({"policy": "none"}, {"policy": "none"})
    assert (chosen["max_replicas"], chosen["in_flight"], changed["in_flight"]) == (1, 4.0, 8.0)
    assert (changed["max_replicas"], why["replicas"], why["wanted_replicas"]) == (1, 1, 1)
    assert why["reason"]
    assert json.loads(replayed)["replica_seconds"] >= 0
    assert "name what to change" in cli.refusal("scaling", "set", service.name, "--reason", "x")
    assert "min_replicas" in cli.refusal(
        "scaling", "set", service.name, "--min", "9", "--max", "1", "--in-flight", "1", "--reason", "x"
    )
    assert "there is no endpoint" in cli.refusal("scaling", "why", "nobody")


def test_a_deployment_is_placed_and_named_as_backup(cli: CommandLine, name: str, model_file: Path) -> None:
    cli.told("model", "register", name)
    cli.told("version", "register", name, str(model_file), "--input", "pixels:FP64:-1x64")
    created = cli.answer("endpoint", "create", name, "--version", f"{name}/1", "--region", "mars")
    backup = cli.answer("endpoint", "deploy", name, f"{name}/1", "--region", "mars", "--region", "venus")

    before = cli.answer("failover", "show", name)
    options = ("--backup", f"{name}/1", "--backup-regions", "venus,mars", "--max-retries", "3")
    first = cli.answer("failover", "set", name, *options, "--reason", "a planet may be lost")
    second = cli.answer("failover", "set", name, "--backup-regions", "any", "--max-retries", "usual", "--reason", "x")
    moved = cli.answer("endpoint", "place", name, backup["id"], "venus", "--reason", "cheaper")

    assert (before["backup_deployment_id"], before["backup_regions"], before["max_retries"]) == ("none", "any", "usual")
    assert (first["backup_deployment_id"], first["backup_regions"], first["max_retries"]) == (
        backup["id"],
        ["venus", "mars"],
        3,
    )
    assert (second["backup_deployment_id"], second["backup_regions"], second["max_retries"]) == (
        backup["id"],
        "any",
        "usual",
    )
    assert [each["regions"] for each in moved["deployments"]] == [["mars"], ["venus"]]
    assert "FailoverPolicySet" in cli.told("events", "tail", "--no-follow", "--stream", created["id"])
    assert "not a deployment or deployed version" in cli.refusal(
        "failover", "set", name, "--backup", "x/9", "--reason", "x"
    )
    assert "name what to change" in cli.refusal("failover", "set", name, "--reason", "x")


def test_a_rollout_is_started_watched_and_stopped(
    cli: CommandLine, service: DigitsService, rollbook: Rollbook, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"strategy": canary(10, step_ms=60_000, bake_ms=1_000), "gates": list(GATES)}))

    started = cli.answer("rollout", "start", service.name, service.versions[1], "--plan", str(plan))
    service.until_step_is_applied(started["id"], 0)
    paused = cli.answer("rollout", "pause", started["id"], "--reason", "lunch")
    resumed = cli.answer("rollout", "resume", started["id"], "--reason", "back")
    listed = cli.answer("rollout", "list", "--endpoint", service.name, "--active")
    shown = cli.answer("rollout", "show", started["id"])
    aborted = cli.answer("rollout", "abort", started["id"], "--reason", "enough")
    watched = cli.type("rollout", "watch", started["id"])

    assert [one["phase"] for one in (paused, resumed, aborted)] == ["paused", "stepping", "aborted"]
    assert [one["id"] for one in listed] == [started["id"]] == [shown["id"]]
    assert watched.code == 2
    assert "aborted" in watched.out
    assert "enough" in watched.out
    assert rollbook.endpoints.get(service.name).active_rollout_id is None


def test_without_a_plan_the_usual_one_rules(cli: CommandLine, service: DigitsService) -> None:
    started = cli.answer("rollout", "start", service.name, service.versions[2])
    aborted = cli.answer("rollout", "abort", started["id"], "--reason", "only looking")

    assert aborted["phase"] == "aborted"


def test_what_happened_can_be_asked(cli: CommandLine, stack: RunningStack, service: DigitsService) -> None:
    with service.traffic() as traffic:
        eventually(lambda: traffic.progress.answered > 20, "answers", within_s=WITHIN_S)
        _, answers = traffic.finish()
    prediction_id = answers[0].prediction_id

    served = _until_it_is_known(cli, prediction_id)
    counted = cli.answer("query", "SELECT count() AS requests FROM request_records")
    kept = {table["table"]: table["retention_days"] for table in cli.answer("views")}
    tail = cli.told("events", "tail", "--no-follow", "--type", "registry.ModelRegistered.v1", "--after", "0")

    assert served["version"] == answers[0].version
    assert served["event"]["type"] == "endpoints.TrafficShifted.v1"
    assert int(counted[0]["requests"]) >= len(answers)
    assert (kept["request_records"], kept["prediction_index"]) == (7, 400)
    assert "registry.ModelRegistered.v1" in tail
    assert cli.told("audit", "verify", "--topic").startswith("OK: the store is sound and the topic")
    assert cli.told("token", service.name).count(".") == 2
    assert {one["name"] for one in cli.answer("status")["programs"]} >= {"api", "kafka", "envoy", "judge"}
    assert "relay" in cli.told("logs", "relay")


def _until_it_is_known(cli: CommandLine, prediction_id: str) -> Any:  # noqa: ANN401 - any JSON
    deadline = time.monotonic() + WITHIN_S
    while (typed := cli.type("--json", "who-served", prediction_id)).code != 0:
        assert time.monotonic() < deadline, typed.err
        time.sleep(0.2)
    return json.loads(typed.out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("frobnicate",), "No such command"),
        (("model", "show", "nobody"), "[model-not-found]"),
        (("model", "register", "a/b"), "name"),
        (("version", "show", "digits"), "write model/number"),
        (("version", "register", "nobody", "/nowhere.skops", "--input", "x:FP64:1"), "does not exist"),
        (("version", "register", "nobody", __file__, "--input", "pixels"), "write NAME:DATATYPE:SHAPE"),
        (
            ("version", "register", "nobody", __file__, "--input", "x:FP64:1"),
            "is no model by its ending",
        ),
        (("endpoint", "create", "x", "--version", "nobody/1"), "nobody"),
        (("traffic", "set", "x", "half"), "write DEPLOYMENT=PERCENT"),
        (("rollout", "get", "rollout-nothing"), "rollout"),
        (("rollout", "start", "x", "y/1", "--plan", __file__), "does not hold a JSON object"),
        (("rollout", "abort", "rollout-nothing"), "--reason"),
        (("who-served", "nonsense"), "prediction"),
        (("query", "DROP TABLE request_records"), "read"),
        (("query", "SELEC 1"), "SELEC"),
        (("token", "x", "--ttl", "99999"), "3600"),
        (("logs", "nobody"), "there are:"),
        (("--url", "http://127.0.0.1:1", "model", "list"), "No answer from http://127.0.0.1:1"),
        (("--token", "rbk_wrong", "model", "list"), "token"),
    ],
)
def test_what_is_typed_wrongly_is_refused_with_a_reason(
    cli: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli.refusal(*arguments)


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    command = rollbook_command("--data-dir", str(tmp_path), "model", "list")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)

    assert done.returncode == 1
    assert "rollbook up" in done.stderr
