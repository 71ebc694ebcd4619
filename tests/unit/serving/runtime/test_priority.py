"""Requests of batch jobs give way to all others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from schemas.events.endpoints import VersionReference
from schemas.events.registry import Artifact
from serving.capture.recorder import Recorder
from serving.runtime.admission import Intake
from serving.runtime.errors import OverloadedError
from serving.runtime.manifest import Manifest
from serving.runtime.model_host import ModelHost
from serving.runtime.oip_grpc import OipGrpc
from serving.runtime.repository import ModelRepository, ServedModel
from tests.unit.serving.runtime.test_batching import SummingEngine, host_of, request


async def test_patient_requests_are_served_once_nobody_else_waits() -> None:
    engine = SummingEngine()
    host = host_of(engine)
    engine.gate.clear()
    first = asyncio.create_task(host.predict(request(0.0)))
    while not engine.entered.is_set():
        await asyncio.sleep(0)
    patient = [asyncio.create_task(host.predict(request(1.0, rows=7), is_patient=True)) for _ in range(2)]
    await asyncio.sleep(0)
    live = asyncio.create_task(host.predict(request(2.0, rows=3)))
    await asyncio.sleep(0)

    engine.gate.set()
    await asyncio.gather(first, live, *patient)

    assert engine.calls == [1, 3, 7, 7]


async def test_many_patient_requests_are_refused_and_take_no_place_of_others() -> None:
    engine = SummingEngine()
    host = host_of(engine, queue_bound=1)
    engine.gate.clear()
    patient = [asyncio.create_task(host.predict(request(1.0), is_patient=True)) for _ in range(4)]
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError, match="batch"):
        await host.predict(request(1.0), is_patient=True)
    live = [asyncio.create_task(host.predict(request(2.0))) for _ in range(2)]
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(*patient, *live)

    assert (host.in_flight, host.queued) == (0, 0)
    assert (await host.predict(request(3.0), is_patient=True)).outputs["sum"].tolist() == [6.0]


class OneModel:
    """A repository that holds one loaded model."""

    def __init__(self, engine: SummingEngine, host: ModelHost) -> None:
        manifest = Manifest(
            workspace="w",
            endpoint_id="e",
            endpoint="sums",
            deployment_id="d",
            version=VersionReference(version_id="v", model_name="sums", number=1),
            artifact=Artifact(digest="sha256:" + "0" * 64, size_bytes=1, format="onnx"),
            signature=engine.signature,
        )
        self._model = ServedModel(name="sums", manifest=manifest, host=host, memory_bytes=0)

    def find(self, _name: str, _version: str = "") -> ServedModel:
        return self._model


@pytest.fixture
async def held_back() -> AsyncIterator[tuple[SummingEngine, ModelHost, triton.InferenceServerClient]]:
    """Serve an engine that is held back over gRPC."""
    engine = SummingEngine()
    engine.gate.clear()
    host = host_of(engine)
    server = grpc.aio.server()
    repository = cast("ModelRepository", OneModel(engine, host))
    service = OipGrpc(repository, intake=Intake(limit_bytes=10**6), recorder=cast("Recorder", None))
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield engine, host, client
    engine.gate.set()
    await server.stop(None)


def asked(client: triton.InferenceServerClient, value: float, rows: int, **headers: str) -> asyncio.Task[Any]:
    tensor = triton.InferInput("x", [rows, 2], "FP64")
    tensor.set_data_from_numpy(np.full((rows, 2), value))
    return asyncio.create_task(client.infer("sums", [tensor], headers=headers))


async def test_the_priority_holds_over_grpc_too(
    held_back: tuple[SummingEngine, ModelHost, triton.InferenceServerClient],
) -> None:
    engine, host, client = held_back
    batch = {"x-rollbook-priority": "batch"}
    under_way = [asked(client, 0.0, 1)]
    while not engine.entered.is_set():
        await asyncio.sleep(0.001)
    under_way += [asked(client, 1.0, 7, **batch) for _ in range(4)]
    while host.queued < 4:
        await asyncio.sleep(0.001)

    with pytest.raises(InferenceServerException, match="4 requests of batch jobs are in progress"):
        await asked(client, 1.0, 7, **batch)
    under_way.append(asked(client, 2.0, 3))
    while host.queued < 5:
        await asyncio.sleep(0.001)
    engine.gate.set()
    answers = await asyncio.gather(*under_way)

    assert engine.calls[:2] == [1, 3]
    assert [answer.as_numpy("sum")[0] for answer in answers] == [0.0, 2.0, 2.0, 2.0, 2.0, 4.0]
