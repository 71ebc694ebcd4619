"""Columns to tensors, and tensors to columns. A row whose value cannot be a tensor's is told apart, with the reason."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rollbook.batch.errors import BadInput
from rollbook.inference.tensors import DTYPES, Array, TensorSpec

_ARROW = {name: pa.from_numpy_dtype(dtype) for name, dtype in DTYPES.items() if name != "BYTES"}


class Columns(msgspec.Struct, frozen=True):
    """Which columns of the file make a tensor: one that holds its whole rows, or one for each value."""

    tensor: TensorSpec
    names: tuple[str, ...]


class Prepared(msgspec.Struct, frozen=True):
    """The rows that can be sent, by their places in the chunk, as tensors; and why the others cannot."""

    places: Array
    tensors: dict[str, Array]
    refused: dict[int, str]


def columns_for(
    tensors: Sequence[TensorSpec], schema: pa.Schema, *, chosen: Mapping[str, Sequence[str]], kept: Sequence[str]
) -> list[Columns]:
    """Find the columns of each tensor: those that were chosen, the one of its name, or all that are not kept.

    Raises:
        BadInput: some tensor has no columns, or too few or too many.
    """
    for name in chosen:
        if name not in {tensor.name for tensor in tensors}:
            raise BadInput(f"the model has no input {name!r}; it has {', '.join(each.name for each in tensors)}")
    return [_columns_of(tensor, schema, tensors=tensors, chosen=chosen, kept=kept) for tensor in tensors]


def _columns_of(
    tensor: TensorSpec,
    schema: pa.Schema,
    *,
    tensors: Sequence[TensorSpec],
    chosen: Mapping[str, Sequence[str]],
    kept: Sequence[str],
) -> Columns:
    _check_datatype(tensor)
    if tensor.name in chosen:
        names = tuple(chosen[tensor.name])
    elif tensor.name in schema.names:
        names = (tensor.name,)
    elif len(tensors) == 1:
        names = tuple(name for name in schema.names if name not in kept)
    else:
        names = ()
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise BadInput(f"the file has no column {unknown[0]!r}; it has {', '.join(schema.names)}")
    is_whole = len(names) == 1 and (tensor.width == 1 or _is_list(schema.field(names[0]).type))
    if not is_whole and len(names) != tensor.width:
        raise BadInput(
            f"the input {tensor.name!r} has {tensor.width} values per row, but {len(names)} columns were found for it; "
            f"name them with --column {tensor.name}=FIRST,SECOND,…, or leave others out with --keep"
        )
    return Columns(tensor, names)


def _check_datatype(tensor: TensorSpec) -> None:
    if tensor.datatype not in DTYPES or not tensor.shape or tensor.shape[0] != -1 or -1 in tensor.shape[1:]:
        raise BadInput(
            f"the input {tensor.name!r} ({tensor.datatype} {list(tensor.shape)}) has no rows of its own, "
            "so this model cannot be scored row by row"
        )


def prepare(table: pa.Table, columns: Sequence[Columns]) -> Prepared:
    """Turn a chunk into tensors, leaving out rows that none can hold."""
    refused: dict[int, str] = {}
    whole: dict[str, Array] = {}
    for each in columns:
        parts = [_values(table.column(name), name, each.tensor, len(each.names), refused) for name in each.names]
        flat = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        whole[each.tensor.name] = flat.reshape(len(table), *each.tensor.shape[1:])
    places = np.array([place for place in range(len(table)) if place not in refused], dtype=np.int64)
    if not refused:
        return Prepared(places, whole, refused)
    return Prepared(places, {name: values[places] for name, values in whole.items()}, refused)


def _values(column: pa.ChunkedArray, name: str, tensor: TensorSpec, among: int, refused: dict[int, str]) -> Array:
    """Return a column's values, in a row for each of its own; a refused row holds nothing of meaning."""
    width = tensor.width if among == 1 else 1
    array = column.combine_chunks()
    values = _fast(array, tensor, width)
    if values is None:
        values = _one_by_one(array, name, tensor, width, refused)
    values = values.reshape(len(array), width)
    if values.dtype.kind == "f":
        is_good = ~np.isinf(values) if tensor.allows_missing else np.isfinite(values)
        for place in np.flatnonzero(~is_good.all(axis=1)):
            refused.setdefault(int(place), f"column {name!r} is not finite")
    return values


def _fast(array: pa.Array, tensor: TensorSpec, width: int) -> Array | None:
    """Convert all at once; None where some value is missing that may not be, or does not fit."""
    if tensor.datatype == "BYTES":
        return None
    if _is_list(array.type):
        if array.null_count or not pc.all(pc.equal(pc.list_value_length(array), width)).as_py():
            return None
        array = array.flatten()
        if _is_list(array.type):
            return None
    if array.null_count and not tensor.allows_missing:
        return None
    try:
        values = array.cast(_ARROW[tensor.datatype])
    except pa.ArrowException:
        return None
    # A null of a floating-point type becomes NaN.
    return np.asarray(values).astype(DTYPES[tensor.datatype], copy=False)


def _one_by_one(array: pa.Array, name: str, tensor: TensorSpec, width: int, refused: dict[int, str]) -> Array:
    rows = np.zeros((len(array), width), DTYPES[tensor.datatype])
    for place, value in enumerate(array.to_pylist()):
        try:
            rows[place] = _row(value, tensor, width)
        except (TypeError, ValueError, OverflowError) as error:
            rows[place] = b"" if tensor.datatype == "BYTES" else 0
            refused.setdefault(place, f"column {name!r} {error}")
    return rows


def _row(value: Any, tensor: TensorSpec, width: int) -> list[Any]:  # noqa: ANN401  any value of a file
    if value is None and not (tensor.allows_missing and width == 1):
        raise ValueError(f"is missing, {_not_allowed(tensor)}" if width == 1 else "is missing")
    flat = list(_flat(value))
    if len(flat) != width:
        raise ValueError(f"has {len(flat)} values where the input {tensor.name!r} takes {width}")
    if any(each is None for each in flat) and not tensor.allows_missing:
        raise ValueError(f"has a value that is missing, {_not_allowed(tensor)}")
    if tensor.datatype == "BYTES":
        return [_bytes(each) for each in flat]
    try:
        return [math.nan if each is None else each for each in pa.array(flat).cast(_ARROW[tensor.datatype]).to_pylist()]
    except pa.ArrowException as error:
        raise ValueError(f"does not fit {tensor.datatype}: {error}") from error


def _not_allowed(tensor: TensorSpec) -> str:
    return f"which the signature of the input {tensor.name!r} does not allow"


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"is neither text nor bytes but {type(value).__name__}")


def _flat(value: Any) -> Any:  # noqa: ANN401  any value of a file
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def as_column(values: Array) -> pa.Array:
    """Return the rows of an output as a column; more than one value a row becomes a list of fixed size."""
    if values.dtype == object:
        # Bytes that are not text are shown escaped, so that the column has one type whatever comes.
        texts = [value.decode(errors="backslashreplace") for value in values.reshape(-1)]
        flat: pa.Array = pa.array(texts, pa.string())
    else:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:], dtype=np.int64)))
