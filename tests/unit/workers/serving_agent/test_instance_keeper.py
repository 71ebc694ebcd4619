"""A slot from its first announcement on, with engines and a control plane that a test plays."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from infra.background import Background
from infra.clock import SystemClock
from infra.kafka.connection import KafkaConnection
from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact, GoldenExample
from schemas.instances import AnnounceInstance, FailInstance
from tests.support.digits import SIGNATURE
from workers.serving_agent.capture_files import CaptureFiles
from workers.serving_agent.control_plane import ControlPlane
from workers.serving_agent.desired import Deployment
from workers.serving_agent.digest_keys import DigestKeys
from workers.serving_agent.errors import EngineFaultError, NeverServesError, PartAwayError
from workers.serving_agent.instance_book import InstanceBook, InstanceRecord
from workers.serving_agent.instance_keeper import InstanceKeeper
from workers.serving_agent.instance_start import InstanceStarter, RunningInstance
from workers.serving_agent.oip_client import OipClient
from workers.serving_agent.parts import AgentParts
from workers.serving_agent.reconcile import Slot
from workers.serving_agent.settings import AgentSettings

SLOT = Slot("deployment-1", 0)
DEPLOYMENT = Deployment(
    id="deployment-1",
    workspace="default",
    endpoint_id="endpoint-1",
    endpoint="digits",
    version=VersionReference(version_id="version-1", model_name="digits", number=1),
    artifact=Artifact(digest="sha256:00", size_bytes=1, format="skops"),
    signature_id="content-1",
    signature=SIGNATURE,
    golden=GoldenExample(inputs=(), outputs={"label": (3,)}),
    replicas=1,
)
LAST_WORDS = "its log engine-deployment-1-0.log ends with: out of file handles"
FAULT = EngineFaultError("golden-answer-wrong", "the engine answered 500")
WRONG = NeverServesError("golden-answer-wrong", "label should be [3] and is [7]")
SILENT = PartAwayError("no answer")


class Process:
    """Ends when it is asked to."""

    pid = 1

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        return self.ended.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), timeout_s)
        return self.has_ended

    async def stop(self, *, deadline_s: float) -> None:
        assert deadline_s > 0
        self.ended.set()


class Engine(OipClient):
    """Answers its golden input rightly until a test gives it a fault."""

    def __init__(self) -> None:
        super().__init__(host="127.0.0.1", port=1)
        self.fault: Exception | None = None
        self.passing_fault: Exception | None = None
        self.asked = 0

    async def check_golden(self, model: str, golden: GoldenExample) -> None:
        assert (model, golden) == ("digits", DEPLOYMENT.golden)
        self.asked += 1
        fault, self.passing_fault = self.passing_fault or self.fault, None
        if fault is not None:
            raise fault


class Told(ControlPlane):
    """Keeps what it is told, in order."""

    def __init__(self, directory: Path) -> None:
        super().__init__("http://127.0.0.1:1", token_file=directory / "token")
        self.words: list[tuple[str, str]] = []
        self.reasons: list[str] = []

    async def announce(self, announcement: AnnounceInstance) -> None:
        self.words.append(("announce", announcement.boot_id))

    async def withdraw(self, instance_id: str, *, reason: str, code: str | None = None) -> None:
        assert instance_id == "instance-1"
        self.reasons.append(reason)
        self.words.append(("withdraw", code or ""))

    async def fail(self, instance_id: str, failure: FailInstance) -> None:
        assert instance_id == "instance-1"
        self.words.append(("fail", failure.code))


class Starter(InstanceStarter):
    """Starts engines without processes; the first `failures` are raised instead."""

    def __init__(self, settings: AgentSettings, book: InstanceBook) -> None:
        super().__init__(settings, shelf=cast("Any", None), book=book, environ={})
        self._records = book
        self.engines: list[Engine] = []
        self.processes: list[Process] = []
        self.failures: list[Exception] = []
        self.alone: list[bool] = []

    def record_of(self, slot: Slot, deployment: Deployment, *, now_ms: int) -> InstanceRecord:
        assert now_ms > 0
        record = InstanceRecord(slot=slot, endpoint_id=deployment.endpoint_id, instance_id="instance-1", port=1)
        self._records.put(record)
        return record

    async def start(self, record: InstanceRecord, deployment: Deployment, *, alone: bool = False) -> RunningInstance:
        assert deployment == DEPLOYMENT
        self.alone.append(alone)
        if self.engines and self.failures:
            raise self.failures.pop(0)
        self.engines.append(Engine())
        self.processes.append(Process())
        boot = InstanceRecord(
            slot=record.slot,
            endpoint_id=record.endpoint_id,
            instance_id=record.instance_id,
            port=record.port,
            boot_id=f"boot-{len(self.engines)}",
        )
        return RunningInstance(boot, cast("Any", self.processes[-1]), self.engines[-1], 1.0)


class Stage:
    """A keeper at work."""

    def __init__(self, directory: Path) -> None:
        settings = AgentSettings(
            data_dir=directory,
            api_url="http://127.0.0.1:1",
            token_file=directory / "token",
            kafka=KafkaConnection(bootstrap="127.0.0.1:1"),
            ready_file=directory / "ready",
            probe_interval_s=0.01,
            probe_faults=2,
        )
        book = InstanceBook(directory / "instances.json")
        log = directory / "logs" / "engine-deployment-1-0.log"
        log.parent.mkdir()
        log.write_text("out of file handles\n")
        self.told, self.starter = Told(directory), Starter(settings, book)
        parts = AgentParts(
            settings=settings,
            control_plane=self.told,
            shelf=cast("Any", None),
            book=book,
            starter=self.starter,
            captures=CaptureFiles(settings, DigestKeys("00" * 32)),
            clock=SystemClock(),
            background=Background(),
        )
        self.keeper = InstanceKeeper(SLOT, DEPLOYMENT, parts, has_healthy_sibling=lambda: False)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(directory: Path) -> AsyncIterator[Stage]:
    stage = Stage(directory)
    running = asyncio.create_task(stage.keeper.run())
    try:
        await stage.until(lambda: stage.told.words == [("announce", "boot-1")])
        yield stage
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(("fault", "code"), [(SILENT, "instance-hung"), (WRONG, "golden-answer-wrong")])
async def test_a_sick_instance_is_withdrawn_with_its_code_and_comes_back(
    tmp_path: Path, fault: Exception, code: str
) -> None:
    async with at_work(tmp_path) as stage:
        assert stage.keeper.is_healthy
        stage.starter.engines[0].fault = fault

        await stage.until(lambda: len(stage.told.words) == 3)

        assert stage.told.words[1:] == [("withdraw", code), ("announce", "boot-2")]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (SILENT, f"no answer; 2 of the last 2 probes failed; {LAST_WORDS}"),
        (FAULT, f"the engine answered 500; 2 of the last 2 probes failed; {LAST_WORDS}"),
        (WRONG, "label should be [3] and is [7]; 2 of the last 2 probes failed"),
    ],
)
async def test_a_withdrawal_quotes_the_log_where_its_reason_does_not_explain_itself(
    tmp_path: Path, fault: Exception, reason: str
) -> None:
    async with at_work(tmp_path) as stage:
        await stage.until(lambda: stage.starter.engines[0].asked >= 1)
        stage.starter.engines[0].fault = fault

        await stage.until(lambda: bool(stage.told.reasons))

        # What was asked before was answered rightly.
        told = re.sub(r"of the last \d+", "of the last 2", stage.told.reasons[0])
        assert told == reason


async def test_an_engine_that_ends_by_itself_is_withdrawn_with_its_last_words(tmp_path: Path) -> None:
    async with at_work(tmp_path) as stage:
        stage.starter.processes[0].ended.set()

        await stage.until(lambda: bool(stage.told.reasons))

        assert stage.told.reasons == [f"the engine's process ended; {LAST_WORDS}"]


async def test_a_version_that_once_answered_rightly_here_is_tried_again_after_a_wrong_start(tmp_path: Path) -> None:
    async with at_work(tmp_path) as stage:
        stage.starter.failures.append(WRONG)
        stage.starter.engines[0].fault = SILENT

        await stage.until(lambda: len(stage.told.words) == 3)

        assert stage.told.words[-1] == ("announce", "boot-2")
        assert stage.starter.failures == []


async def test_one_fault_alone_changes_nothing(tmp_path: Path) -> None:
    async with at_work(tmp_path) as stage:
        (engine,) = stage.starter.engines
        engine.passing_fault = SILENT

        await stage.until(lambda: engine.passing_fault is None and engine.asked > 10)

        assert stage.told.words == [("announce", "boot-1")]
