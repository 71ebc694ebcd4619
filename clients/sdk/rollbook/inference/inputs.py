"""What people hand over, numpy arrays, pandas frames or plain lists, as the tensors that a model takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rollbook.errors import RollbookError
from rollbook.inference.tensors import DTYPES, Array, TensorSpec


def tensors_of(inputs: Any, specs: Sequence[TensorSpec]) -> dict[str, Array]:  # noqa: ANN401  what people hand over
    """Return the tensor of each input of a model.

    `inputs` is a mapping from the inputs' names to what numpy makes an array of, or for a model with one input the
    array itself, or a pandas frame, whose columns are the inputs by their names, or together the one input.

    Raises:
        RollbookError: an input is missing or unknown, or does not fit its data type or shape; the sentence names it.
    """
    named = _by_name(inputs, specs)
    _require_the_names(named, specs)
    return {spec.name: _tensor(named[spec.name], spec) for spec in specs}


def _by_name(inputs: Any, specs: Sequence[TensorSpec]) -> dict[str, Any]:  # noqa: ANN401
    if _is_frame(inputs):
        columns = [str(column) for column in inputs.columns]
        if len(specs) == 1 and columns != [specs[0].name]:
            return {specs[0].name: inputs.to_numpy()}
        shapes = {spec.name: spec.shape for spec in specs}
        return {
            name: _column(inputs[column], shapes.get(name, (-1,)))
            for name, column in zip(columns, inputs.columns, strict=True)
        }
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if len(specs) != 1:
        raise RollbookError(f"the model has {len(specs)} inputs; give each by its name: {_names(specs)}")
    return {specs[0].name: inputs}


def _column(column: Any, shape: Sequence[int]) -> Any:  # noqa: ANN401  a column of a frame
    values = column.to_numpy()
    # One value a row is often written as a row of one value.
    return values.reshape(-1, 1) if len(shape) == 2 and values.ndim == 1 else values  # noqa: PLR2004


def _require_the_names(named: Mapping[str, Any], specs: Sequence[TensorSpec]) -> None:
    wanted = {spec.name for spec in specs}
    if missing := wanted - named.keys():
        raise RollbookError(f"the input {min(missing)!r} is missing; the model takes {_names(specs)}")
    if unknown := named.keys() - wanted:
        raise RollbookError(f"the model has no input {min(unknown)!r}; it takes {_names(specs)}")


def _tensor(value: Any, spec: TensorSpec) -> Array:  # noqa: ANN401
    dtype = DTYPES.get(spec.datatype)
    if dtype is None:
        raise RollbookError(f"the input {spec.name!r} has the data type {spec.datatype}, which numpy does not have")
    try:
        # Text and bytes stay as they are: numpy's own arrays of them would drop zeros at the end.
        array = np.asarray(value, dtype=object) if spec.datatype == "BYTES" else _numbers(np.asarray(value))
    except ValueError as error:
        raise RollbookError(f"the input {spec.name!r} is not an array: {error}") from error
    return _typed(_shaped(array, spec), spec, dtype)


def _numbers(array: Array) -> Array:
    """Return what pandas keeps as objects, where columns differ or values are missing, as the numbers that it is."""
    if array.dtype != object:
        return array
    numbers = [
        np.nan if value is None or type(value).__name__ in {"NAType", "NaTType"} else value for value in array.flat
    ]
    if all(isinstance(value, int | float | np.number | np.bool_) for value in numbers):
        return np.array([float(value) for value in numbers]).reshape(array.shape)
    return array


def _shaped(array: Array, spec: TensorSpec) -> Array:
    # One row may be given as it is.
    if array.ndim == len(spec.shape) - 1 and spec.shape[0] in {-1, 1}:
        array = array[np.newaxis]
    fits = array.ndim == len(spec.shape) and all(
        wanted in {-1, size} for size, wanted in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        raise RollbookError(
            f"the input {spec.name!r} has the shape {list(array.shape)}; the model takes {list(spec.shape)}, "
            "where -1 is any number of rows"
        )
    return array


def _typed(array: Array, spec: TensorSpec, dtype: np.dtype[Any]) -> Array:
    if spec.datatype == "BYTES":
        texts = [_bytes(value, spec) for value in array.reshape(-1)]
        return np.array(texts, dtype=object).reshape(array.shape)
    try:
        # What overflows is found below.
        with np.errstate(over="ignore", invalid="ignore"):
            typed = array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise RollbookError(f"the input {spec.name!r} takes {spec.datatype}: {error}") from error
    # What is rounded, wraps around or turns into infinity would be another question than the one that was asked.
    is_exact = array.dtype.kind == "f" and dtype.kind == "f" and not (np.isinf(typed) & np.isfinite(array)).any()
    if not is_exact and not np.array_equal(typed, array):
        raise RollbookError(f"the input {spec.name!r} has values that {spec.datatype} does not hold")
    return typed


def _bytes(value: object, spec: TensorSpec) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise RollbookError(f"the input {spec.name!r} takes text or bytes, not {type(value).__name__}")


def _is_frame(value: object) -> bool:
    # pandas is not needed to tell: nobody hands over a frame without it.
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns")


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.datatype} {list(spec.shape)})" for spec in specs)
