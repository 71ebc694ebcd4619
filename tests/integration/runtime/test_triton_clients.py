"""The unmodified `tritonclient` against a runtime process, over REST and gRPC at the same port."""

import asyncio
from types import ModuleType
from typing import Any

import grpc
import httpx
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.integration.runtime.conftest import Triton
from tests.support.digits import digits, row_request, trained
from tests.support.echo_model import TYPES
from tests.support.echo_requests import values_of
from tests.support.engine_process import EngineProcess
from tests.support.plain_http import NO_AUTHORITIES

PIXELS = digits()[0][:3]
LABELS = trained().predict(PIXELS).tolist()


def pixels(module: ModuleType, array: npt.NDArray[Any] = PIXELS, **how: bool) -> object:
    tensor: tritonclient.http.InferInput = module.InferInput(
        "pixels", list(array.shape), np_to_triton_dtype(array.dtype)
    )
    tensor.set_data_from_numpy(array, **how)
    return tensor


def test_a_client_sees_who_is_there(client: Triton) -> None:
    assert client.client.is_server_live()
    assert client.client.is_server_ready()
    assert client.client.is_model_ready("digits")
    assert client.client.is_model_ready("digits", "2")


def test_metadata_of_server_and_model_are_the_same_over_both(
    rest: tritonclient.http.InferenceServerClient, grpc_client: tritonclient.grpc.InferenceServerClient
) -> None:
    server = rest.get_server_metadata()
    model = rest.get_model_metadata("digits", "2")

    assert server == grpc_client.get_server_metadata(as_json=True)
    assert "binary_tensor_data" in server["extensions"]
    same = grpc_client.get_model_metadata("digits", as_json=True)
    assert (model["name"], model["versions"], model["platform"]) == ("digits", ["2"], "rollbook_onnx")
    assert (same["name"], same["versions"], same["platform"]) == ("digits", ["2"], "rollbook_onnx")
    assert [(one["name"], one["shape"]) for one in model["inputs"]] == [("pixels", [-1, 64])]
    assert [(one["name"], one["shape"]) for one in same["inputs"]] == [("pixels", ["-1", "64"])]


def test_a_prediction_is_that_of_the_model(client: Triton) -> None:
    answer = client.client.infer("digits", [pixels(client.module)], request_id="mine")

    assert answer.as_numpy("label").tolist() == LABELS
    assert np.allclose(answer.as_numpy("probabilities"), trained().predict_proba(PIXELS), atol=1e-4)
    said = answer.get_response() if client.protocol == "rest" else answer.get_response(as_json=True)
    assert (said["id"], said["model_name"], said["model_version"]) == ("mine", "digits", "2")


def test_a_priority_that_does_not_exist_is_refused(client: Triton) -> None:
    asked = [pixels(client.module)]

    with pytest.raises(InferenceServerException, match="x-rollbook-priority has to be 'batch' or omitted"):
        client.client.infer("digits", asked, headers={"x-rollbook-priority": "urgent"})
    answer = client.client.infer("digits", asked, headers={"x-rollbook-priority": "batch"})
    assert answer.as_numpy("label").tolist() == LABELS


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_rest_takes_and_gives_tensors_as_bytes_and_as_json(
    rest: tritonclient.http.InferenceServerClient, *, binary_in: bool, binary_out: bool
) -> None:
    wanted = [tritonclient.http.InferRequestedOutput("label", binary_data=binary_out)]

    answer = rest.infer("digits", [pixels(tritonclient.http, binary_data=binary_in)], outputs=wanted)

    assert answer.as_numpy("label").tolist() == LABELS
    assert answer.as_numpy("probabilities") is None
    assert ("parameters" in answer.get_output("label")) is binary_out


async def test_the_async_clients_are_answered_many_at_a_time(address: str) -> None:
    async with (
        tritonclient.http.aio.InferenceServerClient(address) as rest,
        tritonclient.grpc.aio.InferenceServerClient(address) as over_grpc,
    ):
        assert await rest.is_server_ready()
        assert await over_grpc.is_model_ready("digits")
        asked = [rest.infer("digits", [pixels(tritonclient.http)]) for _ in range(20)]
        asked += [over_grpc.infer("digits", [pixels(tritonclient.grpc)]) for _ in range(20)]
        answers = await asyncio.gather(*asked)

    assert [answer.as_numpy("label").tolist() for answer in answers] == [LABELS] * 40


@pytest.fixture(scope="module")
def echo(rest: tritonclient.http.InferenceServerClient) -> None:
    rest.load_model("echo")


WRONG: dict[str, tuple[Any, str]] = {
    "a wrong shape": (np.zeros((1, 63), dtype=np.float32), "'pixels' has shape [1, 63]"),
    "a wrong rank": (np.zeros((64,), dtype=np.float32), "'pixels' has shape [64]"),
    "no rows": (np.zeros((0, 64), dtype=np.float32), "'pixels' has shape [0, 64]"),
    "a wrong data type": (np.zeros((1, 64), dtype=np.float64), "'pixels' has datatype FP64"),
    "not a number": (np.full((1, 64), np.nan, dtype=np.float32), "'pixels' has a value that is not finite"),
    "an infinity": (np.full((1, 64), np.inf, dtype=np.float32), "'pixels' has a value that is not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_tensor_that_does_not_fit_is_named_in_the_error(client: Triton, case: str) -> None:
    array, said = WRONG[case]

    with pytest.raises(InferenceServerException) as refusal:
        client.client.infer("digits", [pixels(client.module, array)])

    assert f"input tensor {said}" in refusal.value.message()
    assert refusal.value.status() == ("400" if client.protocol == "rest" else "StatusCode.INVALID_ARGUMENT")


def test_missing_unknown_and_doubled_tensors_are_named(client: Triton) -> None:
    other = client.module.InferInput("pictures", [3, 64], "FP32")
    other.set_data_from_numpy(PIXELS)
    mood = client.module.InferRequestedOutput("mood")
    good = pixels(client.module)

    for inputs, outputs, said in (
        ([other], None, "input tensor 'pictures' is unknown"),
        ([good, good], None, "input tensor 'pixels' appears twice"),
        ([good], [mood], "output tensor 'mood' is unknown"),
        (
            [good],
            [client.module.InferRequestedOutput("label", class_count=2)],
            "output tensor 'label' cannot be returned as",
        ),
    ):
        with pytest.raises(InferenceServerException, match=said):
            client.client.infer("digits", inputs, outputs=outputs)


@pytest.mark.parametrize(("name", "version"), [("letters", ""), ("digits", "3"), ("../outside", "")])
def test_an_unknown_model_or_version_is_not_found(client: Triton, name: str, version: str) -> None:
    with pytest.raises(InferenceServerException, match=r"unknown|no route|nothing") as refusal:
        client.client.infer(name, [pixels(client.module)], model_version=version)

    assert refusal.value.status() == ("404" if client.protocol == "rest" else "StatusCode.NOT_FOUND")


def test_models_come_and_go_while_others_answer(client: Triton, echo: None) -> None:
    client.client.load_model("echo")
    assert client.client.is_model_ready("echo")

    client.client.unload_model("echo")

    assert not client.client.is_model_ready("echo")
    with pytest.raises(InferenceServerException, match="unavailable"):
        client.client.infer("echo", [pixels(client.module)])
    assert client.client.infer("digits", [pixels(client.module)]).as_numpy("label").tolist() == LABELS
    client.client.load_model("echo")
    assert client.client.is_model_ready("echo")


def test_the_index_tells_what_is_there_and_why_not(
    rest: tritonclient.http.InferenceServerClient, grpc_client: tritonclient.grpc.InferenceServerClient, echo: None
) -> None:
    with pytest.raises(InferenceServerException, match="cannot be loaded") as refusal:
        rest.load_model("broken")
    with pytest.raises(InferenceServerException, match="unknown here"):
        grpc_client.load_model("../outside")
    with pytest.raises(InferenceServerException, match="404"):
        rest.load_model("../outside")

    states = {one["name"]: one for one in rest.get_model_repository_index()}

    assert refusal.value.status() == "400"
    assert set(states) == {"bf16", "broken", "digits", "echo"}
    assert (states["digits"]["state"], states["digits"]["version"]) == ("READY", "2")
    assert states["broken"]["state"] == "UNAVAILABLE"
    assert states["broken"]["reason"]
    listed = grpc_client.get_model_repository_index(as_json=True)["models"]
    assert {one["name"]: one["state"] for one in listed} == {name: one["state"] for name, one in states.items()}


def test_statistics_count_rows_calls_and_requests(
    rest: tritonclient.http.InferenceServerClient, grpc_client: tritonclient.grpc.InferenceServerClient
) -> None:
    (before,) = rest.get_inference_statistics("digits")["model_stats"]

    rest.infer("digits", [pixels(tritonclient.http)])
    grpc_client.infer("digits", [pixels(tritonclient.grpc)])

    (after,) = rest.get_inference_statistics("digits")["model_stats"]
    (same,) = grpc_client.get_inference_statistics("digits", as_json=True)["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 2
    gained = after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
    assert gained == 2
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert int(same["inference_count"]) == after["inference_count"]


def test_metrics_are_in_the_open_form_and_count_what_was_asked(many: EngineProcess) -> None:
    sample = 'rollbook_inference_requests_total{model="digits",version="digits/2",deployment="deployment-1",status='

    before = httpx.get(f"{many.url}/metrics", timeout=180, verify=NO_AUTHORITIES).text
    httpx.post(f"{many.url}/v2/models/digits/infer", json=row_request(), timeout=180, verify=NO_AUTHORITIES)
    httpx.post(f"{many.url}/v2/models/digits/infer", json={"inputs": []}, timeout=180, verify=NO_AUTHORITIES)
    answer = httpx.get(f"{many.url}/metrics", timeout=180, verify=NO_AUTHORITIES)

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    for status in ('"200"} ', '"400"} '):
        assert _value(answer.text, sample + status) == _value(before, sample + status) + 1
    assert _value(answer.text, "process_resident_memory_bytes ") > 1024**2


def _value(text: str, beginning: str) -> float:
    return sum(float(line.removeprefix(beginning)) for line in text.splitlines() if line.startswith(beginning))


CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def typed(datatype: str = "", values: list[Any] | None = None) -> service_pb2.ModelInferRequest:
    """Ask the echo for all data types in typed contents but FP16, which has none; one of them may be changed."""
    request = service_pb2.ModelInferRequest(model_name="echo")
    for name in TYPES:
        tensor = request.inputs.add(name=f"in_{name}", datatype=name, shape=[2, 1])
        if name in CONTENTS:
            sent = values if name == datatype and values is not None else values_of(name).ravel().tolist()
            getattr(tensor.contents, CONTENTS[name]).extend(sent)
    return request


@pytest.mark.parametrize(
    ("datatype", "values", "said"),
    [
        ("", None, "'in_FP16' has no data; FP16 has to be sent in raw_input_contents"),
        ("INT8", [0, 128], "'in_INT8' has a value outside the range of INT8"),
        ("UINT16", [0, 65_536], "'in_UINT16' has a value outside the range of UINT16"),
        ("FP32", [0.0, float("nan")], "'in_FP32' has a value that is not finite"),
        ("FP64", [0.0], "'in_FP64' has 1 values"),
        ("BYTES", [b"", b"\xff"], "'in_BYTES' has an element that is not text"),
    ],
)
def test_typed_contents_that_do_not_fit_are_named(
    address: str, echo: None, datatype: str, values: list[Any] | None, said: str
) -> None:
    request = typed(datatype, values)
    if datatype in {"FP32", "FP64", "BYTES"}:
        # These stand behind FP16, the first fault.
        del request.inputs[list(TYPES).index("FP16")]

    with pytest.raises(grpc.RpcError) as refusal:
        call(address, request)

    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in refusal.value.details()


def test_typed_contents_are_answered_in_kind(address: str) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="pixels", datatype="FP32", shape=[3, 64])
    tensor.contents.fp32_contents.extend(PIXELS.ravel().tolist())

    answer = call(address, request)

    assert not answer.raw_output_contents
    assert list(answer.outputs[0].contents.int64_contents) == LABELS
    assert len(answer.outputs[1].contents.fp32_contents) == 30


def test_raw_contents_that_do_not_count_up_are_refused(address: str) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[b"", PIXELS.tobytes()])
    request.inputs.add(name="pixels", datatype="FP32", shape=[3, 64])
    twice = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=[PIXELS.tobytes()])
    twice.inputs.add(name="pixels", datatype="FP32", shape=[3, 64]).contents.fp32_contents.append(1.0)

    for wrong, said in ((request, "has 2 entries for 1"), (twice, "'pixels' has its data twice")):
        with pytest.raises(grpc.RpcError) as refusal:
            call(address, wrong)
        assert said in refusal.value.details()


def call(address: str, request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
    with grpc.insecure_channel(address) as channel:
        return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=180)
