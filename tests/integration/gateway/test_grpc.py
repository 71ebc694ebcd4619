"""The unmodified `tritonclient` over gRPC through a real Envoy to real runtimes: routed by the name in the message."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import httpx
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
from tritonclient.grpc import InferInput, service_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from schemas.events.endpoints import ShadowRemoved, ShadowSet
from serving.runtime.manifest import write_manifest
from tests.support.digits import digits, row_request, trained
from tests.support.engine_process import EngineProcess, running, write_model
from tests.support.gateway import MAX_BODY_BYTES, Gateway, calling, serving_gateway, until
from tests.support.routing import added, announced, created, shifted

ENDPOINT = "endpoint-1"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
PIXELS = digits()[0][:1]
LABEL = int(trained().predict(PIXELS)[0])

# One Envoy for all, and the loop in which it is served; each test begins with all traffic at d1.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, EngineProcess]]:
    with ExitStack() as stack:
        started = {}
        for deployment in ("d1", "d2"):
            root = tmp_path_factory.mktemp(deployment)
            manifest = write_model(root / "model", artifact_format="onnx")
            write_manifest(root / "model", msgspec.structs.replace(manifest, deployment_id=deployment))
            started[deployment] = stack.enter_context(running(root))
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, engines: dict[str, EngineProcess]
) -> AsyncIterator[Gateway]:
    async with serving_gateway(Gateway(tmp_path_factory.mktemp("gateway"))) as gateway:
        gateway.tell(ENDPOINT, created(salt="salt"))
        for number, (deployment, engine) in enumerate(engines.items(), 1):
            gateway.tell(ENDPOINT, added(deployment, number=number))
            gateway.tell(
                f"instance-{deployment}", announced(ENDPOINT, deployment, port=int(engine.url.rsplit(":", 1)[1]))
            )
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def serving(gateway: Gateway) -> Gateway:
    """All traffic at d1, and no shadow."""
    await split(gateway, d1=[(0, 10_000)])
    return gateway


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(gateway) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def triton(serving: Gateway) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(f"127.0.0.1:{serving.ports.gateway}") as client:
        yield client


async def split(gateway: Gateway, **ranges: list[tuple[int, int]]) -> int:
    epoch = gateway.tell(ENDPOINT, shifted(**ranges))
    await gateway.serves(ENDPOINT, epoch)
    return epoch


def token(gateway: Gateway, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.tokens.mint()}", **more}


def pixels(array: npt.NDArray[np.float32] = PIXELS) -> InferInput:
    tensor = InferInput("pixels", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


async def deployment_of(triton: InferenceServerClient, headers: dict[str, str], name: str = "digits") -> str:
    answer = await triton.infer(name, [pixels()], headers=headers)
    return str(answer.get_response().parameters["deployment_id"].string_param)


async def test_a_prediction_is_routed_by_the_name_in_the_message(
    serving: Gateway, triton: InferenceServerClient
) -> None:
    answer = await triton.infer("digits", [pixels()], headers=token(serving))

    assert answer.as_numpy("label").tolist() == [LABEL]
    # Without an id of the caller's, the answer carries the prediction id that the gateway gave.
    assert answer.get_response().id.count("-") >= 2
    assert await triton.is_model_ready("digits", headers=token(serving))
    metadata = await triton.get_model_metadata("digits", headers=token(serving))
    assert metadata.platform == "rollbook_onnx"


async def test_a_large_tensor_passes_and_a_larger_one_is_refused(
    serving: Gateway, triton: InferenceServerClient
) -> None:
    rows = MAX_BODY_BYTES * 3 // 4 // 256
    answer = await triton.infer("digits", [pixels(np.repeat(PIXELS, rows, axis=0))], headers=token(serving))
    assert set(answer.as_numpy("label").tolist()) == {LABEL}

    with pytest.raises(InferenceServerException):
        await triton.infer("digits", [pixels(np.repeat(PIXELS, rows * 2, axis=0))], headers=token(serving))


async def test_grpc_and_rest_take_the_same_deployment_for_a_key(
    serving: Gateway, triton: InferenceServerClient, client: httpx.AsyncClient
) -> None:
    await split(serving, d1=[(0, 4_000)], d2=[(4_000, 10_000)])
    seen = set()

    for number in range(40):
        key = {"x-rollbook-key": f"user-{number}"}
        over_rest = await client.post("/v2/models/digits/infer", json=row_request(), headers=key)
        over_grpc = await deployment_of(triton, token(serving, **key))
        assert over_rest.headers["x-rollbook-deployment"] == over_grpc, key
        seen.add(over_grpc)

    assert seen == {"d1", "d2"}


async def test_weights_move_grpc_under_load_without_a_failure(serving: Gateway, triton: InferenceServerClient) -> None:
    seen: list[str] = []
    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            seen.append(await deployment_of(triton, token(serving)))

    callers = [asyncio.create_task(load()) for _ in range(3)]
    for turn in range(12):
        one = "d1" if turn % 2 else "d2"
        await split(serving, **{one: [(0, 10_000)]})
        before = len(seen)
        await until(lambda before=before: len(seen) > before + 5)
    is_over.set()
    await asyncio.gather(*callers)

    assert set(seen) == {"d1", "d2"}


async def test_refusals_are_statuses_that_clients_know(serving: Gateway, triton: InferenceServerClient) -> None:
    outside = {"authorization": f"Bearer {serving.tokens.mint(endpoints=('other',))}"}
    cases = [
        ("digits", {}, "UNAUTHENTICATED", None),
        ("digits", outside, "PERMISSION_DENIED", None),
        ("letters", token(serving), "NOT_FOUND", "does not name an endpoint"),
        ('x"]{}', token(serving), "NOT_FOUND", "does not name an endpoint"),
        ("", token(serving), "NOT_FOUND", "does not name an endpoint"),
    ]

    for name, headers, status, said in cases:
        with pytest.raises(InferenceServerException, match=said) as refusal:
            await triton.infer(name, [pixels()], headers=headers)
        assert refusal.value.status() == f"StatusCode.{status}", (name, refusal.value)
    with pytest.raises(InferenceServerException, match="'pixels' has shape") as wrong:
        await triton.infer("digits", [pixels(np.zeros((1, 3), dtype=np.float32))], headers=token(serving))
    assert wrong.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_the_name_is_found_wherever_it_stands_and_the_last_one_counts(serving: Gateway) -> None:
    request = service_pb2.ModelInferRequest(raw_input_contents=[PIXELS.tobytes()])
    request.inputs.add(name="pixels", datatype="FP32", shape=[1, 64])
    rest = request.SerializeToString()
    name = service_pb2.ModelInferRequest(model_name="digits").SerializeToString()
    other = service_pb2.ModelInferRequest(model_name="letters").SerializeToString()

    for message in (name + rest, rest + name, other + rest + name):
        assert await _called(serving, message) == "d1"
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await _called(serving, name + rest + other)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_message_that_cannot_be_read_reaches_no_engine(serving: Gateway) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[PIXELS.tobytes() * 4])
    request.inputs.add(name="pixels", datatype="FP32", shape=[4, 64])
    refusals = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND}

    for message, how in ((request.SerializeToString(), grpc.Compression.Gzip), (b"\x0a\xff\xff", None)):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await _called(serving, message, compression=how)
        assert refusal.value.code() in refusals, refusal.value


async def _called(
    gateway: Gateway,
    message: bytes,
    *,
    compression: grpc.Compression | None = None,
) -> str:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.ports.gateway}") as channel:
        call = channel.unary_unary(METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString)
        metadata = tuple(token(gateway).items())
        answer = await call(message, metadata=metadata, compression=compression, timeout=180)
    return str(answer.parameters["deployment_id"].string_param)


async def test_repository_and_other_methods_without_an_endpoint_reach_no_engine(
    serving: Gateway, triton: InferenceServerClient
) -> None:
    named = token(serving, **{"x-rollbook-endpoint": "digits"})

    for headers in (token(serving), named):
        with pytest.raises(InferenceServerException) as refusal:
            await triton.unload_model("digits", headers=headers)
        assert refusal.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException):
        await triton.is_server_ready(headers=token(serving))
    assert await triton.is_server_ready(headers=named)
    assert await deployment_of(triton, token(serving)) == "d1"


async def test_a_call_stands_in_the_record_with_the_status_that_rest_would_have(
    serving: Gateway, triton: InferenceServerClient
) -> None:
    answer = await triton.infer("digits", [pixels()], headers=token(serving))
    with pytest.raises(InferenceServerException):
        await triton.infer("digits", [pixels(np.zeros((1, 3), dtype=np.float32))], headers=token(serving))

    def from_the_first_on() -> list[dict[str, Any]]:
        known = records(serving, "primary")
        ids = list(known)
        begin = ids.index(answer.get_response().id) if answer.get_response().id in known else len(ids)
        return [known[one] for one in ids[begin:]]

    await until(lambda: len(from_the_first_on()) >= 2, why="two records")
    first, second = from_the_first_on()
    assert (first["epn"], first["dep"], first["st"], first["gs"]) == ("digits", "d1", 200, 0)
    assert (second["dep"], second["st"], second["gs"]) == ("d1", 200, 3)
    assert first["id"] != second["id"]


def records(gateway: Gateway, role: str) -> dict[str, dict[str, Any]]:
    whole = (gateway.folder / "current.log").read_text().rpartition("\n")[0]
    return {line["id"]: line for line in map(json.loads, whole.splitlines()) if line.get("role") == role}


async def test_a_call_is_copied_to_the_shadow_and_recorded_under_its_own_id(
    serving: Gateway, triton: InferenceServerClient
) -> None:
    serving.tell(ENDPOINT, ShadowSet(deployment_id="d2", percent=100.0, reason="test"))
    await split(serving, d1=[(0, 10_000)])

    # A copy that is made before the worker has the shadow's instance fails; those after it do not.
    async def is_copied() -> bool:
        assert await deployment_of(triton, token(serving)) == "d1"
        return any(copy["st"] == 200 for copy in records(serving, "shadow").values())

    await until(is_copied, why="a copy that the shadow answered")
    answer = await triton.infer("digits", [pixels()], headers=token(serving))
    prediction_id = answer.get_response().id
    await until(lambda: prediction_id in records(serving, "shadow"), why="a record of the copy")
    request, copy = records(serving, "primary")[prediction_id], records(serving, "shadow")[prediction_id]
    assert (request["dep"], copy["dep"], copy["ver"]) == ("d1", "d2", "digits/2")
    assert (request["st"], copy["st"]) == (200, 200)
    serving.tell(ENDPOINT, ShadowRemoved(deployment_id="d2", reason="test"))
