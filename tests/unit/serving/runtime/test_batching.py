"""Requests that wait together are answered by one call, each with its own rows."""

import asyncio
import threading
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from schemas.events.registry import Signature, Tensor
from serving.engines.base import Array, Tensors
from serving.engines.errors import PredictionFailedError
from serving.runtime.errors import InferenceFailedError, OverloadedError
from serving.runtime.model_host import HostLimits, ModelHost

ROWS = Signature(
    inputs=(Tensor(name="x", datatype="FP64", shape=(-1, 2)),),
    outputs=(Tensor(name="sum", datatype="FP64", shape=(-1,)),),
)


class SummingEngine:
    """Adds up each row, keeps the sizes of its calls, and can be held back."""

    def __init__(self, signature: Signature = ROWS) -> None:
        self.signature = signature
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        self.calls.append(len(inputs["x"]))
        self.entered.set()
        self.gate.wait(10)
        if np.isnan(inputs["x"]).any():
            raise PredictionFailedError("not a number")
        if np.isinf(inputs["x"]).any():
            raise SystemExit(3)
        return {"sum": inputs["x"].sum(axis=1)}

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        return self.predict(inputs)

    def samples(self) -> Iterator[Tensors]:
        yield request(0.0)


def request(first: float, rows: int = 1) -> Tensors:
    return {"x": np.full((rows, 2), first)}


async def held_back(engine: SummingEngine, host: ModelHost, later: list[Tensors]) -> list[object]:
    """Send one request, then others while the engine is still busy with it; return what each became."""
    engine.gate.clear()
    first = asyncio.create_task(host.predict(request(0.0)))
    while not engine.entered.is_set():
        await asyncio.sleep(0)
    waiting = [asyncio.create_task(host.predict(each)) for each in later]
    await asyncio.sleep(0)
    engine.gate.set()
    return list(await asyncio.gather(first, *waiting, return_exceptions=True))


def host_of(engine: SummingEngine, queue_bound: int = 64) -> ModelHost:
    host = ModelHost(HostLimits(queue_bound=queue_bound))
    host.serve(engine, joins=True)
    return host


async def test_what_waits_is_answered_in_one_call_and_parted_again() -> None:
    engine = SummingEngine()

    outcomes = await held_back(engine, host_of(engine), [request(1.0), request(2.0, rows=3), request(3.0)])

    assert engine.calls == [1, 5]
    assert [outcome.outputs["sum"].tolist() for outcome in outcomes] == [[0.0], [2.0], [4.0, 4.0, 4.0], [6.0]]  # type: ignore[attr-defined]


async def test_a_bad_request_fails_alone() -> None:
    engine = SummingEngine()

    outcomes = await held_back(engine, host_of(engine), [request(1.0), request(float("nan")), request(3.0)])

    assert isinstance(outcomes[2], InferenceFailedError)
    assert [outcomes[index].outputs["sum"].tolist() for index in (1, 3)] == [[2.0], [6.0]]  # type: ignore[attr-defined]


async def test_a_model_that_asks_to_exit_fails_its_request_and_answers_the_next() -> None:
    engine = SummingEngine()
    host = host_of(engine)

    with pytest.raises(InferenceFailedError, match="SystemExit"):
        await host.predict(request(float("inf")))

    assert (await host.predict(request(1.0))).outputs["sum"].tolist() == [2.0]
    assert host.in_flight == 0


async def test_what_comes_after_the_end_of_a_host_is_told_to_try_again_and_not_under_way() -> None:
    host = host_of(SummingEngine())
    host.close()

    with pytest.raises(OverloadedError, match="unloaded"):
        await host.predict(request(1.0))

    assert host.in_flight == 0


async def test_a_signature_with_fixed_rows_is_never_batched() -> None:
    fixed = Signature(
        inputs=(Tensor(name="x", datatype="FP64", shape=(1, 2)),),
        outputs=(Tensor(name="sum", datatype="FP64", shape=(1,)),),
    )
    engine = SummingEngine(fixed)

    await held_back(engine, host_of(engine), [request(1.0), request(2.0)])

    assert engine.calls == [1, 1, 1]


async def test_more_than_the_bound_is_refused() -> None:
    engine = SummingEngine()

    outcomes = await held_back(engine, host_of(engine, queue_bound=1), [request(1.0), request(2.0)])

    assert isinstance(outcomes[2], OverloadedError)


@pytest.mark.parametrize("rows", [1, 300])
async def test_a_lone_request_is_answered_whatever_its_size(rows: int) -> None:
    engine = SummingEngine()

    answer = await host_of(engine).predict(request(1.0, rows))

    assert answer.outputs["sum"].shape == (rows,)


class ScalarEngine(SummingEngine):
    """Promises a value for each row and answers a single one, without a dimension."""

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        return {"sum": super().predict(inputs)["sum"].sum()}


async def test_an_answer_without_rows_is_not_parted_and_stops_nothing() -> None:
    engine = ScalarEngine()
    host = host_of(engine)

    async with asyncio.timeout(60):
        outcomes = await held_back(engine, host, [request(1.0), request(2.0)])
        after = await host.predict(request(3.0))

    assert [float(outcome.outputs["sum"]) for outcome in outcomes] == [0.0, 2.0, 4.0]  # type: ignore[attr-defined]
    assert float(after.outputs["sum"]) == 6.0


class FaultyEngine(SummingEngine):
    """Fails on joined requests with an error that an engine does not promise."""

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        outputs = super().predict(inputs)
        if len(inputs["x"]) > 1:
            raise MemoryError
        return outputs


async def test_an_error_that_no_engine_promises_leaves_the_thread_at_work() -> None:
    engine = FaultyEngine()

    async with asyncio.timeout(60):
        outcomes = await held_back(engine, host_of(engine), [request(1.0), request(2.0)])

    assert [outcome.outputs["sum"].tolist() for outcome in outcomes] == [[0.0], [2.0], [4.0]]  # type: ignore[attr-defined]
