"""Every data type over each of tritonclient's ways; what does not fit is refused with the tensor and the remedy."""

import asyncio
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from tritonclient.utils import InferenceServerException

from tests.support.digits import digits, trained
from tests.support.echo_model import MODELS, TYPES
from tests.support.echo_requests import WAYS, Values, Way, inputs_of, model_of, values_of
from tests.support.engine_process import EngineProcess
from tests.support.plain_http import NO_AUTHORITIES

DATATYPES = (*TYPES, "BF16")
FLOATS = ("FP16", "BF16", "FP32", "FP64")
LIMIT_ROWS = 32 * 1024**2 // 256


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture(scope="module", autouse=True)
def echoes(many: EngineProcess) -> None:
    for model in MODELS:
        httpx.post(
            f"{many.url}/v2/repository/models/{model}/load", timeout=180, verify=NO_AUTHORITIES
        ).raise_for_status()


def _connections(address: str) -> set[int]:
    """Return the local ports of this process's connections to an address."""
    port = int(address.rpartition(":")[2])
    found = psutil.Process().net_connections("tcp")
    return {each.laddr.port for each in found if each.raddr and each.raddr.port == port}


async def refusal_of(way: Way, address: str, model: str, inputs: dict[str, Values]) -> str:
    sent = [way.tensor(name, values) for name, values in inputs.items()]
    with pytest.raises(InferenceServerException) as refusal:
        await way.infer(address, model, sent)
    assert refusal.value.status() == way.invalid, refusal.value
    return str(refusal.value.message())


@pytest.mark.parametrize("model", MODELS)
async def test_every_data_type_goes_in_and_comes_out(way: Way, address: str, model: str) -> None:
    sent = [way.tensor(name, values) for name, values in inputs_of(model).items()]
    wanted = [way.wanted(f"out_{datatype}") for datatype in MODELS[model]]

    answer = await way.infer(address, model, sent, outputs=wanted)

    for datatype in MODELS[model]:
        given: Any = answer.as_numpy(f"out_{datatype}").tolist()
        texts = [[value] for value in TYPES[datatype][1]] if datatype == "BYTES" else None
        assert given in (values_of(datatype).tolist(), texts), datatype


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_wrong_shape_is_refused(way: Way, address: str, datatype: str) -> None:
    name, model = f"in_{datatype}", model_of(datatype)
    wide = {name: np.concatenate([values_of(datatype)] * 2, axis=1)}
    flat = {name: values_of(datatype).ravel()}

    for changed, shape in ((wide, "[2, 2]"), (flat, "[2]")):
        said = await refusal_of(way, address, model, inputs_of(model, changed))
        assert f"input tensor {name!r} has shape {shape}, but the model takes {datatype} [any, 1]" in said


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_wrong_data_type_is_refused(way: Way, address: str, datatype: str) -> None:
    name, model = f"in_{datatype}", model_of(datatype)
    other = "INT64" if datatype != "INT64" else "FP64"

    said = await refusal_of(way, address, model, inputs_of(model, {name: values_of(other)}))

    assert f"input tensor {name!r} has datatype {other}, but the model takes {datatype} [any, 1]" in said


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_missing_tensor_is_told_and_how_to_send_it(way: Way, address: str, datatype: str) -> None:
    model = model_of(datatype)

    said = await refusal_of(way, address, model, inputs_of(model, left_out=f"in_{datatype}"))

    assert f"input tensor 'in_{datatype}' is missing; the model takes it as {datatype} [any, 1]" in said


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_wrong_name_and_one_too_many_are_refused(way: Way, address: str, datatype: str) -> None:
    more, model = {"extra": values_of(datatype)}, model_of(datatype)

    for inputs in (inputs_of(model, more), inputs_of(model, more, left_out=f"in_{datatype}")):
        said = await refusal_of(way, address, model, inputs)
        assert "input tensor 'extra' is unknown; the model takes in_B" in said


@pytest.mark.parametrize("datatype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_what_is_not_finite_is_refused(way: Way, address: str, datatype: str, value: float) -> None:
    values, model = values_of(datatype), model_of(datatype)
    values[1, 0] = value

    said = await refusal_of(way, address, model, inputs_of(model, {f"in_{datatype}": values}))

    assert f"input tensor 'in_{datatype}' has a value that is not finite" in said
    assert said.endswith("; send finite numbers only")


# Of aiohttp, about how the client hands it a large body.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_request_above_the_limit_is_refused_and_the_next_one_answered(way: Way, address: str) -> None:
    # gRPC keeps those of clients that are closed.
    of_others = _connections(address)
    pixels = digits()[0][:3]
    # As text such a number takes some five times the room.
    rows = LIMIT_ROWS // 4 if way.is_json else LIMIT_ROWS + 1_000
    large = np.full((rows, 64), 1 / 7, dtype=np.float32)

    with pytest.raises(InferenceServerException) as refusal:
        await way.infer(address, "digits", [way.tensor("pixels", large)])

    assert refusal.value.status() == way.too_large
    assert "larger than" in refusal.value.message()
    answer = await way.infer(address, "digits", [way.tensor("pixels", pixels)])
    assert answer.as_numpy("label").tolist() == trained().predict(pixels).tolist()
    # aiohttp ends a connection that it still writes to after its session, and warns of one that its loop leaves open.
    while way.is_aiohttp and _connections(address) - of_others:
        await asyncio.sleep(0.01)
