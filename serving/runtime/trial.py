"""A first call of a model: shows whether it answers what its signature promises, and warms it up.

The golden input is asked where there is one, else rows that are made up.
"""

import msgspec
import numpy as np
import structlog

from schemas.events.registry import GoldenExample, Signature, Tensor
from serving.engines.answers import datatype_of, difference_from
from serving.engines.base import Array, Engine, Tensors
from serving.engines.errors import PredictionFailedError, SignatureMismatchError, UnansweredInputError
from serving.runtime.batching import is_batchable, joined, rows_of
from serving.runtime.errors import InvalidRequestError
from serving.runtime.tensors import InputTensor, finite, read_values

_JOINED_REQUESTS = 3
_log = structlog.get_logger(__name__)


def try_out(engine: Engine, golden: GoldenExample | None = None) -> None:
    """Ask an engine alone and, where requests are joined, joined.

    Raises:
        SignatureMismatchError: its answer has another data type or shape than the signature promises, or not a row for
            each that was asked.
        UnansweredInputError: the model fails on its golden input, or on every made-up one that has to fit.
    """
    answered = _first_answered(engine, golden)
    if answered is None:
        return
    inputs, answers = answered
    rows = rows_of(inputs) if is_batchable(engine.signature) else None
    _check(engine.signature, answers, rows=rows)
    _answer_missing(engine, inputs)
    if rows:
        together = joined([inputs] * _JOINED_REQUESTS)
        try:
            answers = engine.ask(together)
        except PredictionFailedError as error:
            # Requests that fail together are asked one by one.
            _log.info("joined_trial_refused", reason=_reason(error))
            return
        _check(engine.signature, answers, rows=rows * _JOINED_REQUESTS)


def _first_answered(engine: Engine, golden: GoldenExample | None) -> tuple[Tensors, Tensors] | None:
    """Return the first input that the model answers, and its answer; None where its sizes could only be guessed."""
    failure: PredictionFailedError | None = None
    for inputs in engine.samples() if golden is None else [_golden_input(golden, engine.signature)]:
        try:
            return inputs, engine.ask(inputs)
        except PredictionFailedError as error:
            failure = error
    assert failure is not None
    if golden is not None:
        raise UnansweredInputError(f"the model does not answer its golden input: {_reason(failure)}") from failure
    if _tells_all_sizes(engine.signature):
        raise UnansweredInputError(
            f"the model answers no row of zeros or ones in the form of its signature: {_reason(failure)}; "
            "correct the signature, or register the version with a golden example that it answers"
        ) from failure
    _log.info("trial_refused", reason=_reason(failure))
    return None


def _golden_input(golden: GoldenExample, signature: Signature) -> Tensors:
    given = {tensor.name: tensor for tensor in golden.inputs}
    inputs: Tensors = {}
    for tensor in signature.inputs:
        sent = InputTensor(name=tensor.name, datatype=tensor.datatype, shape=given[tensor.name].shape)
        try:
            inputs[tensor.name] = finite(tensor, read_values(sent, list(given[tensor.name].data)))
        except InvalidRequestError as error:
            raise UnansweredInputError(f"the golden input can't be asked: {error}") from error
    return inputs


def _answer_missing(engine: Engine, inputs: Tensors) -> None:
    """Ask with all values missing that may be."""
    missing = [tensor.name for tensor in engine.signature.inputs if tensor.allows_missing]
    if not missing:
        return
    try:
        engine.ask(inputs | {name: np.full_like(inputs[name], np.nan) for name in missing})
    except PredictionFailedError as error:
        raise SignatureMismatchError(
            f"the signature allows missing values in {', '.join(missing)}; the model refuses them: {_reason(error)}"
        ) from error


def _check(signature: Signature, answers: Tensors, *, rows: int | None) -> None:
    for spec in signature.outputs:
        array = answers[spec.name]
        difference = difference_from(spec, array)
        if difference is None and rows is not None and array.shape[:1] != (rows,):
            difference = f"output {spec.name!r} has {len(array)} rows for {rows} that were asked"
        if difference is not None:
            raise SignatureMismatchError(difference, fitting=_fitting(signature, answers, rows=rows))


def _fitting(signature: Signature, answers: Tensors, *, rows: int | None) -> Signature | None:
    if rows is not None and any(array.shape[:1] != (rows,) for array in answers.values()):
        return None
    outputs = tuple(
        spec
        if difference_from(spec, answers[spec.name]) is None
        else _tensor(spec.name, answers[spec.name], counts_rows=rows is not None)
        for spec in signature.outputs
    )
    return msgspec.structs.replace(signature, outputs=outputs)


def _tensor(name: str, array: Array, *, counts_rows: bool) -> Tensor:
    shape = (-1, *array.shape[1:]) if counts_rows else array.shape
    return Tensor(name=name, datatype=datatype_of(array), shape=shape)


def _tells_all_sizes(signature: Signature) -> bool:
    return all(size >= 0 for tensor in signature.inputs for size in tensor.shape[1:])


def _reason(error: PredictionFailedError) -> str:
    cause = error.__cause__
    return f"{type(cause).__name__}: {cause}" if cause else str(error)
