"""A trial call of a model: shows whether its answers fit its signature, and warms it up.

It uses the golden input if there is one, or else generated rows.
"""

import msgspec
import numpy as np
import structlog

from schemas.events.registry import GoldenExample, Signature, Tensor
from serving.engines.answers import datatype_of, difference_from
from serving.engines.base import Array, Engine, Tensors
from serving.engines.errors import PredictionFailedError, SignatureMismatchError, UnansweredInputError
from serving.runtime.batching import fits_together, is_batchable, joined, rows_of, split_rows
from serving.runtime.errors import InvalidRequestError
from serving.runtime.tensors import InputTensor, finite, read_values

_JOINED_REQUESTS = 3
_DIFFERENT_REQUESTS = 2
_log = structlog.get_logger(__name__)


def try_out(engine: Engine, golden: GoldenExample | None = None) -> bool:
    """Call an engine with single and joined requests, and return whether requests may be joined.

    They may not if a row gets a different answer beside others, as in a graph that normalises over rows.

    Raises:
        SignatureMismatchError: the data type, shape or number of rows of its answer differs from what the signature
            promises; or it answers one request but fails on several joined.
        UnansweredInputError: the model fails on its golden input, or on every generated one that has to fit. An answer
            that is not a finite number is a failure too.
    """
    is_joined = is_batchable(engine.signature)
    answered = _answered(engine, golden)
    for inputs, answers in answered:
        _check(engine.signature, answers, rows=rows_of(inputs) if is_joined else None)
    if not answered:
        return is_joined
    inputs, _ = answered[0]
    _answer_missing(engine, inputs)
    return is_joined and bool(rows_of(inputs)) and _keeps_rows_apart(engine, answered)


def _answered(engine: Engine, golden: GoldenExample | None) -> list[tuple[Tensors, Tensors]]:
    """Return inputs that the model answers, with its answers; none if its sizes could only be guessed."""
    failure: PredictionFailedError | None = None
    found = [] if golden is None else [_golden_answer(engine, golden)]
    for inputs in engine.samples():
        if len(found) == _DIFFERENT_REQUESTS:
            break
        if found and not fits_together(found[0][0], inputs):
            continue
        try:
            found.append((inputs, _finite_answers(engine, inputs)))
        except PredictionFailedError as error:
            failure = error
    if not found and failure is not None and _has_fixed_sizes(engine.signature):
        raise UnansweredInputError(
            f"the model does not answer a row of zeros or ones as its signature promises: {_reason(failure)}; "
            "correct the signature, or register the version with a golden example"
        ) from failure
    if not found and failure is not None:
        _log.info("trial_refused", reason=_reason(failure))
    return found


def _golden_answer(engine: Engine, golden: GoldenExample) -> tuple[Tensors, Tensors]:
    inputs = _golden_input(golden, engine.signature)
    try:
        return inputs, _finite_answers(engine, inputs)
    except PredictionFailedError as error:
        raise UnansweredInputError(f"the model does not answer its golden input: {_reason(error)}") from error


def _finite_answers(engine: Engine, inputs: Tensors) -> Tensors:
    answers = engine.ask(inputs)
    for name, array in answers.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PredictionFailedError(f"output {name!r} has a value that is not finite")
    return answers


def _keeps_rows_apart(engine: Engine, answered: list[tuple[Tensors, Tensors]]) -> bool:
    """Call with joined requests, and return whether each gets the answer that it got alone."""
    requests = [answered[number % len(answered)] for number in range(_JOINED_REQUESTS)]
    counts = [rows_of(inputs) or 0 for inputs, _ in requests]
    try:
        together = engine.ask(joined([inputs for inputs, _ in requests]))
    except PredictionFailedError as error:
        _refuse_single_rows(engine, answered[0][0])
        # Different requests that fail together are called one by one.
        _log.info("joined_trial_refused", reason=_reason(error))
        return False
    _check(engine.signature, together, rows=sum(counts))
    parts = split_rows(together, counts)
    if parts and all(_are_alike(alone, part) for (_, alone), part in zip(requests, parts, strict=True)):
        return True
    _log.warning(
        "rows_are_mixed", remedy="requests are answered one by one, because a row's answer depends on its neighbours"
    )
    return False


def _refuse_single_rows(engine: Engine, inputs: Tensors) -> None:
    rows = rows_of(inputs) or 0
    try:
        engine.ask(joined([inputs] * _JOINED_REQUESTS))
    except PredictionFailedError as error:
        signature = engine.signature
        fitting = Signature(inputs=_of_rows(signature.inputs, rows), outputs=_of_rows(signature.outputs, rows))
        detail = f"the model answers {rows} rows but fails on {rows * _JOINED_REQUESTS}: {_reason(error)}"
        raise SignatureMismatchError(detail, fitting=fitting) from error


def _of_rows(tensors: tuple[Tensor, ...], rows: int) -> tuple[Tensor, ...]:
    return tuple(msgspec.structs.replace(tensor, shape=(rows, *tensor.shape[1:])) for tensor in tensors)


def _are_alike(alone: Tensors, part: Tensors) -> bool:
    return all(_is_close(array, part[name]) for name, array in alone.items())


def _is_close(array: Array, other: Array) -> bool:
    if array.dtype.kind != "f":
        return np.array_equal(array, other)
    # Sums in a different order differ in their last digits.
    return np.allclose(array, other, rtol=1e-3, atol=1e-5)


def _golden_input(golden: GoldenExample, signature: Signature) -> Tensors:
    given = {tensor.name: tensor for tensor in golden.inputs}
    inputs: Tensors = {}
    for tensor in signature.inputs:
        sent = InputTensor(name=tensor.name, datatype=tensor.datatype, shape=given[tensor.name].shape)
        try:
            inputs[tensor.name] = finite(tensor, read_values(sent, list(given[tensor.name].data)))
        except InvalidRequestError as error:
            raise UnansweredInputError(f"the golden input cannot be sent: {error}") from error
    return inputs


def _answer_missing(engine: Engine, inputs: Tensors) -> None:
    """Call with all values missing that may be missing."""
    missing = [tensor.name for tensor in engine.signature.inputs if tensor.allows_missing]
    if not missing:
        return
    try:
        engine.ask(inputs | {name: np.full_like(inputs[name], np.nan) for name in missing})
    except PredictionFailedError as error:
        raise SignatureMismatchError(
            f"the signature allows missing values in {', '.join(missing)}, but the model rejects them: {_reason(error)}"
        ) from error


def _check(signature: Signature, answers: Tensors, *, rows: int | None) -> None:
    for spec in signature.outputs:
        array = answers[spec.name]
        difference = difference_from(spec, array)
        if difference is None and rows is not None and array.shape[:1] != (rows,):
            difference = f"output {spec.name!r} has {len(array)} rows for {rows} inputs"
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


def _has_fixed_sizes(signature: Signature) -> bool:
    return all(size >= 0 for tensor in signature.inputs for size in tensor.shape[1:])


def _reason(error: PredictionFailedError) -> str:
    cause = error.__cause__
    return f"{type(cause).__name__}: {cause}" if cause else str(error)
