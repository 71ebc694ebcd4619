"""How the inputs of a signature become the rows of a scikit-learn model: by name if the model knows names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from schemas.events.registry import Tensor
from serving.engines.base import DTYPES, Array, Tensors
from serving.engines.columns import blocks_of, check_widths, in_order
from serving.engines.model_parts import parts_of
from serving.engines.sklearn_categories import known_values

_MAX_NAMED_INPUTS = 64


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Joins inputs column by column, in the model's order.

    `names` are the columns of a data frame, if the model selects columns by name. `are_texts` means that the model
    takes a list of texts rather than rows.
    """

    inputs: tuple[Tensor, ...]
    names: tuple[str, ...] | None = None
    are_texts: bool = False

    def of(self, inputs: Mapping[str, Array]) -> Any:  # noqa: ANN401 - an array or a frame
        """Return what the model takes."""
        blocks = blocks_of(inputs, self.inputs)
        if self.names is not None:
            return _frame(self.names, blocks)
        matrix = blocks[0] if len(blocks) == 1 else np.hstack(blocks)
        return matrix.ravel() if self.are_texts else matrix


def rows_for(model: Any, inputs: tuple[Tensor, ...]) -> Rows:  # noqa: ANN401 - whatever estimator the file holds
    """Determine how the inputs become rows.

    Raises:
        SignatureMismatchError: their columns or names are not those that the model takes.
    """
    columns = getattr(model, "n_features_in_", None)
    if columns is None:
        return Rows(inputs=inputs, are_texts=len(inputs) == 1 and inputs[0].datatype == "BYTES")
    check_widths(inputs, columns=int(columns))
    names = feature_names(model)
    if names and len(inputs) > 1:
        inputs = in_order(inputs, names)
    if names and _takes_frames(model):
        return Rows(inputs=inputs, names=names)
    _forget_names(model)
    return Rows(inputs=inputs)


def feature_names(model: object) -> tuple[str, ...]:
    """Return the names of the columns that a model was fitted on, if it saw any."""
    return tuple(str(name) for name in getattr(model, "feature_names_in_", ()))


def fitting_inputs(model: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401 - any estimator
    """Return inputs that a model accepts, as similar to the given ones as possible."""
    names, columns = feature_names(model), getattr(model, "n_features_in_", None)
    if columns is None:
        takes_texts = hasattr(_first(model), "build_analyzer")
        return (Tensor(name=inputs[0].name, datatype="BYTES", shape=(-1,)),) if takes_texts else inputs
    if names and len(names) <= _MAX_NAMED_INPUTS and (len(inputs) > 1 or _takes_frames(model)):
        known = known_values(model)
        given = {tensor.name: tensor.datatype for tensor in inputs}
        return tuple(
            Tensor(
                name=name,
                datatype="BYTES" if isinstance(known.get(index), str) else given.get(name, "FP64"),
                shape=(-1,),
            )
            for index, name in enumerate(names)
        )
    datatypes = {tensor.datatype for tensor in inputs}
    datatype = datatypes.pop() if len(datatypes) == 1 else "FP64"
    return (Tensor(name=inputs[0].name if len(inputs) == 1 else "x", datatype=datatype, shape=(-1, int(columns))),)


def samples_for(model: object, inputs: tuple[Tensor, ...]) -> Iterator[Tensors]:
    """Make up rows that a model should accept: values that its encoders know, or else zeros or ones."""
    known = known_values(model)
    free = int(getattr(model, "n_features_in_", 1)) if len(inputs) == 1 else 1
    for number, text in ((0, ""), (1, "a")):
        sample, offset = {}, 0
        for tensor in inputs:
            shape = tuple(size if size >= 0 else free for size in tensor.shape[1:])
            other = text if tensor.datatype == "BYTES" else number
            width = int(np.prod(shape, dtype=np.int64))
            values = [_value(known.get(offset + index), other) for index in range(width)]
            sample[tensor.name] = np.array(values, dtype=DTYPES[tensor.datatype]).reshape(1, *shape)
            offset += width
        yield sample


def _first(model: Any) -> Any:  # noqa: ANN401 - any estimator
    return _first(model.steps[0][1]) if isinstance(model, Pipeline) else model


def _value(known: Any, other: float | str) -> Any:  # noqa: ANN401 - a category of any type
    return known if known is not None and isinstance(known, str) == isinstance(other, str) else other


def _frame(names: Sequence[str], blocks: Sequence[Array]) -> Any:  # noqa: ANN401 - pandas has no annotations here
    import pandas as pd  # noqa: PLC0415 - it takes half a second and 40 MB, and few models need it

    columns = [block[:, index] for block in blocks for index in range(block.shape[1])]
    # Series keep the type of strings, which a frame built from arrays would guess.
    return pd.DataFrame(
        {name: pd.Series(column, dtype=column.dtype) for name, column in zip(names, columns, strict=True)}
    )


def _takes_frames(model: object) -> bool:
    """Whether something in the model selects columns by name, or gives them names."""
    return any(
        (isinstance(part, ColumnTransformer) and _selects_by_name(part))
        or (getattr(part, "_sklearn_output_config", None) or {}).get("transform") not in {None, "default"}
        for _, part in parts_of(model)
    )


def _selects_by_name(transformer: Any) -> bool:  # noqa: ANN401 - scikit-learn has no annotations
    selections = [columns for _, _, columns in getattr(transformer, "transformers_", ())]
    return any(_is_by_name(columns) for columns in selections)


def _is_by_name(columns: object) -> bool:
    if isinstance(columns, slice):
        return isinstance(columns.start, str) or isinstance(columns.stop, str)
    return any(isinstance(column, str) for column in np.ravel(np.asarray(columns, object)).tolist())


def _forget_names(model: object) -> None:
    """Keep parts from asking for names, with a warning on each call: the columns are in their order."""
    for _, part in parts_of(model):
        if "feature_names_in_" in getattr(part, "__dict__", {}):
            del part.feature_names_in_
