"""A random fault every 20 s under mixed load: calls fail only where no healthy copy was left, and nothing is lost.

`CHAOS_MINUTES` says how long (30), `CHAOS_SEED` repeats the faults of an earlier run, which prints its seed.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from infra.kafka.connection import KafkaConnection
from projections import rebuild
from rollbook import Rollbook
from rollbook.resources import Rollout
from rollbook_demo.evidence import verify_log
from rollbook_demo.models import read_digits, train_versions
from tests.faults.accounts import Call, Harm
from tests.faults.conductor import Conductor
from tests.faults.harms import Harmer
from tests.faults.judgement import Copies, Judge, Record
from tests.faults.memory import MemoryWatch
from tests.faults.mixed_load import Plan
from tests.faults.schedule import drawn
from tests.faults.text_process import TextProcess, text_process
from tests.support.digits_service import DigitsService, serve_digits
from tests.support.eventually import eventually
from tests.support.history import History, faults_of
from tests.support.stack import RunningStack, running_stack
from tests.support.stack_history import SteadyWriter, history_of
from tests.support.text_server import MODEL

MINUTES = float(os.environ.get("CHAOS_MINUTES", "30"))
SEED = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))
EVERY_S = 20.0
PER_S = {"rest": 40.0, "grpc": 15.0, "single": 10.0, "text": 5.0}
WHOLE_AGAIN_WITHIN_S = 240.0
RECORDS_WITHIN_S = 180.0
LOOKED_UP_AT_ONCE = 500
MAX_GROWTH, GROWTH_MIB = 1.5, 64.0
_ANY_OF = "has({ids:Array(String)}, prediction_id)"
ROOT = Path(__file__).parents[2]
TEXT_SIGNATURE = {
    "inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "completion", "datatype": "BYTES", "shape": [-1]}],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(MINUTES * 60 + 1_200)]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What is left when the faults are over and everything had time to come back."""

    stack: RunningStack
    rollbook: Rollbook
    harms: list[Harm]
    calls: list[Call]
    rollouts: list[Rollout]
    history: History
    memory: dict[str, tuple[float, float]]
    began_at_ms: int

    @property
    def failed(self) -> list[Call]:
        return [call for call in self.calls if call.status != 200]

    def judge(self) -> Judge:
        """Make a judge who knows the log, the harms, and the records of what failed."""
        copies = Copies(self.events(), self.harms)
        return Judge(copies, self.harms, self.records({call.prediction_id for call in self.failed} - {""}))

    def events(self) -> Iterator[dict[str, object]]:
        for copy in self.history.stored:
            yield msgspec.json.decode(copy.canonical)

    def records(self, prediction_ids: set[str]) -> dict[str, Record]:
        """Return the request records of some predictions, once the view has them or won't any more."""
        deadline, found = time.monotonic() + RECORDS_WITHIN_S, dict[str, Record]()
        while len(found) < len(prediction_ids):
            missing = sorted(prediction_ids - set(found))
            for start in range(0, len(missing), LOOKED_UP_AT_ONCE):
                found |= self._records(missing[start : start + LOOKED_UP_AT_ONCE])
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        return found

    def _records(self, prediction_ids: list[str]) -> dict[str, Record]:
        names = ", ".join(["prediction_id", *Record.__struct_fields__])
        sql = f"SELECT {names} FROM request_records FINAL WHERE role = 'primary' AND {_ANY_OF}"  # noqa: S608 - own names
        rows = self.rollbook.query(sql, {"ids": prediction_ids})["data"]
        fields = Record.__struct_fields__
        return {row[0]: msgspec.convert(dict(zip(fields, row[1:], strict=True)), Record, strict=False) for row in rows}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    granted = {"ROLLBOOK_AGENT_EXTERNAL_NETWORKS": "127.0.0.0/8"}
    with running_stack(tmp_path_factory.mktemp("chaos") / "data", settings=granted) as stack:
        yield stack


@pytest.fixture(scope="module")
def story(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    directory = tmp_path_factory.mktemp("story")
    with stack.client() as rollbook, text_process() as server:
        digits = serve_digits(stack, rollbook, "digits", directory=directory, replicas=2)
        serve_digits(stack, rollbook, "single", directory=directory)
        _serve_text(rollbook, server, directory)
        rollbook.endpoints.set_shadow("digits", version=digits.versions[2], percent=50, reason="chaos")
        yield _tell(digits, server, directory)


def _serve_text(rollbook: Rollbook, server: TextProcess, directory: Path) -> None:
    description = directory / "text.json"
    description.write_bytes(msgspec.json.encode({"protocol": "openai", "url": server.url, "model": MODEL}))
    rollbook.models.register("text")
    rollbook.versions.register("text", description, signature=TEXT_SIGNATURE, artifact_format="external")
    rollbook.endpoints.create("text", version="text/1")
    eventually(lambda: _is_whole(rollbook, "text"), "text is served", within_s=180, poll_s=0.5)


def _tell(digits: DigitsService, server: TextProcess, directory: Path) -> Story:
    stack, rollbook = digits.stack, digits.rollbook
    began_at_ms = int(time.time() * 1000)
    with ExitStack() as parts:
        writer = parts.enter_context(SteadyWriter(stack, "steady"))
        calls = parts.enter_context(_load(digits, directory / "calls.jsonl"))
        conductor = parts.enter_context(Conductor(digits))
        memory = parts.enter_context(MemoryWatch(stack))
        harmer = Harmer(stack, server, _weights(digits))
        _inflict(harmer)
        harmer.finish()
        conductor.stop()
        eventually(lambda: _all_is_well(stack, rollbook), "all is whole again", within_s=WHOLE_AGAIN_WITHIN_S, poll_s=1)
        time.sleep(5)  # what comes now must all be answered
    _say(*harmer.harms)
    return Story(
        stack=stack,
        rollbook=rollbook,
        harms=harmer.harms,
        calls=[msgspec.json.decode(line, type=Call) for line in calls.read_bytes().splitlines()],
        rollouts=[digits.until_over(each) for each in sorted(conductor.started)],
        history=history_of(stack, list(writer.acknowledged)),
        memory=memory.before_and_after(),
        began_at_ms=began_at_ms,
    )


def _inflict(harmer: Harmer) -> None:
    _say(f"CHAOS_SEED={SEED} CHAOS_MINUTES={MINUTES:g}")
    began = time.monotonic()
    for fault in drawn(SEED, seconds=MINUTES * 60, every_s=EVERY_S):
        late_s = time.monotonic() - began - fault.at_s
        # One that took long to do moves all that follow: two at once would be another test.
        began += max(0.0, late_s)
        time.sleep(max(0.0, -late_s))
        _say(harmer.do(fault))


def _say(*lines: object) -> None:
    """Show how far it is, also while it goes on."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _weights(digits: DigitsService) -> dict[str, bytes]:
    baseline, better, _ = train_versions(read_digits())
    return {
        digits.versions[0]: baseline.classifier.theta_.tobytes(),
        digits.versions[1]: better.classifier[-1].coef_.tobytes(order="A"),
    }


@contextmanager
def _load(digits: DigitsService, file: Path) -> Iterator[Path]:
    plan = Plan(
        gateway_url=digits.stack.gateway_url,
        api_url=digits.stack.api_url,
        api_token=digits.stack.admin_token,
        token=digits.rollbook.inference_tokens.mint(["digits", "single", "text"]).token,
        calls_file=str(file),
        digits="digits",
        single="single",
        text="text",
        per_s=PER_S,
    )
    command = [sys.executable, "-m", "tests.faults.mixed_load"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(msgspec.json.encode(plan) + b"\n")
    try:
        yield file
        process.terminate()
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()


def _all_is_well(stack: RunningStack, rollbook: Rollbook) -> bool:
    is_ready = all(program.state == "ready" for program in stack.status.programs)
    return is_ready and all(_is_whole(rollbook, endpoint) for endpoint in ("digits", "single", "text"))


def _is_whole(rollbook: Rollbook, endpoint: str) -> bool:
    if rollbook.rollouts.list(endpoint=endpoint, active=True):
        return False
    return all(one.state == "ready" for one in rollbook.endpoints.get(endpoint).deployments)


def test_calls_fail_only_where_no_healthy_copy_was_left(story: Story) -> None:
    judge = story.judge()

    faults = [fault for call in story.failed if (fault := judge.fault_of(call))]

    _say(*Counter(judge.account_of(call) for call in story.failed).most_common())
    _say(f"{len(story.calls)} calls, {len(story.failed)} failed, {len(faults)} of them wrongly")
    assert faults == []
    assert len(story.calls) > 0.9 * sum(PER_S.values()) * MINUTES * 60


def test_each_answer_is_traced_to_what_routed_it(story: Story) -> None:
    judge = story.judge()
    answered = {call.prediction_id: call for call in story.calls if call.status == 200}

    unknown, differing = [], []
    ids = sorted(answered)
    for start in range(0, len(ids), 5_000):
        found = story.rollbook.predictions.who_served_each(ids[start : start + 5_000])
        unknown += [one for one in found.unknown if not judge.may_be_unknown(answered[one])]
        for one in found.items:
            call = answered[one.prediction_id]
            if (one.version, one.deployment_id, one.epoch) != (call.version, call.deployment_id, call.epoch):
                differing.append((one, call))

    assert (unknown, differing) == ([], [])


def test_each_rollout_came_to_its_end(story: Story) -> None:
    ends = [(rollout.phase, rollout.reason) for rollout in story.rollouts]
    _say(*ends)

    assert any(phase == "completed" for phase, _ in ends)


def test_every_program_came_back(story: Story) -> None:
    assert [str(harm) for harm in story.harms if "NOT BACK" in harm.note] == []


def test_no_acknowledged_event_is_lost_and_none_has_two_effects(story: Story) -> None:
    assert len(story.history.acknowledged) > 100
    assert faults_of(story.history) == []


def test_the_views_equal_a_rebuild(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    stack = story.stack

    code = asyncio.run(
        rebuild.run(
            connection=KafkaConnection(bootstrap=stack.kafka_bootstrap), clickhouse_url=stack.clickhouse_url, swap=False
        )
    )

    assert code == 0, capsys.readouterr().out


def test_the_audit_proves_the_log(story: Story) -> None:
    assert verify_log(story.stack.profile)["ok"]


def test_no_program_grows_without_bound(story: Story) -> None:
    _say(*(f"{name:<12} {was:7.0f} MiB at first, {now:7.0f} at last" for name, (was, now) in story.memory.items()))

    grown = {name: held for name, held in story.memory.items() if held[1] > MAX_GROWTH * held[0] + GROWTH_MIB}
    assert grown == {}
