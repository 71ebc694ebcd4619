"""Which method of a scikit-learn model computes which output of a signature."""

from typing import Any

import numpy as np
from sklearn.base import is_regressor

from schemas.events.registry import Tensor
from serving.engines.base import Array
from serving.engines.errors import SignatureMismatchError
from serving.engines.model_parts import parts_of

_METHODS = {
    "label": "predict",
    "value": "predict",
    "probabilities": "predict_proba",
    "decision": "decision_function",
    "scores": "score_samples",
    "transformed": "transform",
}
"""By the name of an output. The names of the methods themselves work too."""
_RANDOM = {("BernoulliRBM", "score_samples")}
"""Methods that return a different answer for the same row each time."""
_LOOK_AT_ALL_ROWS = {"NMF", "MiniBatchNMF"}
"""Estimators whose answer for a row depends on the other rows."""
_PROBABILITIES = 2


def offered(model: object) -> dict[str, str]:
    """Return the methods that a model has, by the names of the outputs that they compute."""
    prediction = "value" if is_regressor(model) else "label"
    return {
        name: method
        for name, method in _METHODS.items()
        if hasattr(model, method)
        and (method != "predict" or name == prediction)
        and (type(model).__name__, method) not in _RANDOM
    }


def methods_for(model: object, outputs: tuple[Tensor, ...]) -> dict[str, str]:
    """Return the method for each output. A single output may have any name: it is the model's prediction.

    Raises:
        SignatureMismatchError: the model has no method for an output.
    """
    known = offered(model)
    if not known:
        raise SignatureMismatchError(f"a {type(model).__name__} neither predicts nor transforms")
    by_name = _METHODS | {method: method for method in _METHODS.values()}
    if len(outputs) == 1 and outputs[0].name not in by_name:
        return {outputs[0].name: next(iter(known.values()))}
    for output in outputs:
        if by_name.get(output.name) not in known.values():
            raise SignatureMismatchError(
                f"the signature promises the output {output.name!r}; this {type(model).__name__} answers "
                f"{', '.join(known)}"
            )
    return {output.name: by_name[output.name] for output in outputs}


def looks_at_all_rows(model: object) -> bool:
    """Whether a row's answer depends on the rows in the same call, so that each must be called alone."""
    return any(type(part).__name__ in _LOOK_AT_ALL_ROWS for _, part in parts_of(model))


def dense(values: Any, *, rows: int) -> Array:  # noqa: ANN401 - whatever a method returns
    """Return an answer as one array whose first dimension counts rows."""
    if isinstance(values, list) and values and all(np.ndim(each) == _PROBABILITIES for each in values):
        return _stacked([np.asarray(each) for each in values])
    array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    # Some methods drop the row dimension if there is only one row.
    return array[np.newaxis] if rows == 1 and array.shape[:1] != (1,) else array


def _stacked(targets: list[Array]) -> Array:
    """Join the probabilities of several targets as rows × targets × classes, with 0 for a class that a target lacks."""
    classes = max(each.shape[1] for each in targets)
    padded = [np.pad(each, ((0, 0), (0, classes - each.shape[1]))) for each in targets]
    return np.stack(padded, axis=1)
