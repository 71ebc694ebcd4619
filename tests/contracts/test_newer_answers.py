"""Whoever asks the API reads the answers of a newer one: a thing that it can't understand is left out, not the rest."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from control_plane.catalogue.rebuild import rows_of
from control_plane.declared import AGGREGATES
from rollbook._wire import read_answer
from rollbook.resources import RolloutPage, VersionPage
from schemas.identifiers import Kind
from tests.support.log_story import log_story
from workers.autoscaler.control_plane import ControlPlane as AutoscalerPlane
from workers.batch_server.control_plane import ControlPlane as BatchPlane
from workers.serving_agent.control_plane import ControlPlane as AgentPlane

SURPRISE = {"surprise": {"of": "a newer release"}}
ARTIFACT = {"digest": "sha256:00", "size_bytes": 1}
VERSION = {"version_id": "version-1", "model_name": "digits", "number": 1}


def deployment(name: str, artifact_format: str) -> dict[str, Any]:
    return {
        "id": name,
        "version": VERSION | SURPRISE,
        "artifact": ARTIFACT | {"format": artifact_format} | SURPRISE,
        "signature": {"inputs": [], "outputs": []} | SURPRISE,
        "replicas": 1,
    } | SURPRISE


def endpoint(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON value
    known = {
        "id": name,
        "workspace": "default",
        "name": name,
        "salt": "salt",
        "deployments": [deployment(f"{name}-onnx", "onnx"), deployment(f"{name}-gguf", "gguf")],
        "scaling": {"in_flight": 1.0} | SURPRISE,
    }
    return known | SURPRISE | changes


def instance(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON value
    known = {"id": name, "endpoint_id": "e1", "deployment_id": "e1-onnx", "agent_id": "a", "host": "h", "port": 1}
    return known | {"region": "r", "zone": "z"} | SURPRISE | changes


SERVING = {
    "position": 9,
    "endpoints": [
        endpoint("e1"),
        endpoint("e2", failover={"max_retries": "as many as it takes"}, capture={"sampling_rate": "adaptive"})
        | {"scaling": {"min_replicas": "as few as it takes"}},
    ],
    "instances": [instance("i1"), instance("i2", port="unix", agent_id=7)],
    "jwks": {"keys": []} | SURPRISE,
    "revoked_subjects": [],
} | SURPRISE


def transport(answer: object) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(200, content=msgspec.json.encode(answer)))


async def agent(token: Path) -> object:
    plane = AgentPlane("http://api", token_file=token, transport=transport(SERVING))
    snapshot = await plane.snapshot()
    await plane.close()
    return (
        snapshot.position,
        {each.id: [one.id for one in each.deployments] for each in snapshot.endpoints},
        [each.id for each in snapshot.instances],
    )


async def autoscaler(token: Path) -> object:
    plane = AutoscalerPlane("http://api", token_file=token, transport=transport(SERVING))
    snapshot = await plane.snapshot()
    await plane.close()
    return (
        snapshot.position,
        {each.id: [one.id for one in each.deployments] for each in snapshot.endpoints},
        [each.id for each in snapshot.instances],
    )


async def batches(token: Path) -> object:
    answer = {"id": "batch-1", "phase": "pondering", "expires_at": "2026-01-02T03:04:05Z"} | SURPRISE
    plane = BatchPlane("http://api", token_file=token, transport=transport(answer))
    batch = await plane.batch("batch-1")
    await plane.close()
    return batch.id, batch.phase


@pytest.mark.parametrize(
    ("asked", "understood"),
    [
        (agent, (9, {"e1": ["e1-onnx"]}, ["i1"])),
        (autoscaler, (9, {"e1": ["e1-onnx", "e1-gguf"]}, ["i1"])),
        (batches, ("batch-1", "pondering")),
    ],
    ids=["agent", "autoscaler", "batches"],
)
async def test_a_program_reads_what_it_understands(
    asked: Callable[[Path], Awaitable[object]], understood: object, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")

    assert await asked(token) == understood


@pytest.mark.parametrize(
    ("kind", "page", "newer"),
    [
        (
            Kind.ROLLOUT,
            RolloutPage,
            {"phase": "asleep", "gates": [{"kind": "fairness"}], "strategy": {"kind": "ab_test", "arms": 3}},
        ),
        (Kind.VERSION, VersionPage, {"artifact": ARTIFACT | {"format": "gguf"}}),
    ],
    ids=["rollout", "version"],
)
def test_the_sdk_reads_variants_that_it_does_not_know(
    kind: Kind, page: type[RolloutPage | VersionPage], newer: dict[str, Any]
) -> None:
    (row,) = (each for each in rows_of(log_story(), AGGREGATES) if each.kind is kind)
    item = msgspec.json.decode(row.body) | newer | SURPRISE

    read = read_answer(httpx.Response(200, content=msgspec.json.encode({"items": [item]} | SURPRISE)), page)

    assert [each.id for each in read.items] == [row.id]
