"""Failover of gRPC: real runtimes behind a real Envoy, asked by the unmodified `tritonclient`, and killed."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
from tritonclient.grpc.aio import InferenceServerClient

from schemas.events.endpoints import FailoverPolicy, FailoverPolicySet
from serving.runtime.manifest import write_manifest
from tests.integration.gateway.test_grpc import deployment_of, split, token
from tests.support.engine_process import EngineProcess, running, write_model
from tests.support.gateway import Gateway, until
from tests.support.routing import added, announced, created

ENDPOINT = "endpoint-1"
PLACES = {"here": ("d1", "local"), "there": ("d1", "far"), "backup": ("d2", "local")}


@pytest.fixture
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, EngineProcess]]:
    with ExitStack() as stack:
        started = {}
        for place, (deployment, _region) in PLACES.items():
            root = tmp_path_factory.mktemp(place)
            manifest = write_model(root / "model", artifact_format="onnx")
            write_manifest(root / "model", msgspec.structs.replace(manifest, deployment_id=deployment))
            settings = {"ROLLBOOK_RUNTIME_INSTANCE_ID": f"instance-{place}"}
            started[place] = stack.enter_context(running(root, environ=settings))
        yield started


async def test_calls_go_to_the_next_region_and_then_to_the_backup_version_without_a_failure(
    gateway: Gateway, engines: dict[str, EngineProcess]
) -> None:
    gateway.tell(ENDPOINT, created(salt="salt"))
    for number, deployment in enumerate(("d1", "d2"), 1):
        gateway.tell(ENDPOINT, added(deployment, number=number))
    for place, (deployment, region) in PLACES.items():
        port = int(engines[place].url.rsplit(":", 1)[1])
        gateway.tell(f"instance-{place}", announced(ENDPOINT, deployment, port=port, region=region))
    policy = FailoverPolicy(backup_deployment_id="d2", backup_regions=("far",))
    gateway.tell(ENDPOINT, FailoverPolicySet(policy=policy, reason="test"))
    await split(gateway, d1=[(0, 10_000)])
    seen: list[str] = []
    is_over = asyncio.Event()

    async def load(triton: InferenceServerClient) -> None:
        while not is_over.is_set():
            seen.append(await deployment_of(triton, token(gateway)))

    async with InferenceServerClient(f"127.0.0.1:{gateway.ports.gateway}") as triton:
        callers = [asyncio.create_task(load(triton)) for _ in range(4)]
        await until(lambda: len(seen) > 40)
        _kill(engines["here"])
        before = len(seen)
        await until(lambda: len(seen) > before + 40, why="answers of the other region")
        assert set(seen) == {"d1"}
        _kill(engines["there"])
        before = len(seen)
        await until(lambda: len(seen) > before + 40, why="answers of the backup version")
        is_over.set()
        await asyncio.gather(*callers)

    assert set(seen[-20:]) == {"d2"}


def _kill(engine: EngineProcess) -> None:
    engine.process.kill()
    engine.process.wait()
