"""Runs scikit-learn models saved by skops."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.pipeline import Pipeline

from schemas.events.registry import Signature, Tensor
from serving.engines.answers import datatype_of, promised_form
from serving.engines.base import Array, Tensors
from serving.engines.errors import PredictionFailedError, SignatureMismatchError
from serving.engines.sklearn_file import load_trusted
from serving.engines.sklearn_inputs import fitting_inputs, rows_for, samples_for
from serving.engines.sklearn_outputs import dense, looks_at_all_rows, methods_for, offered

_PREFERRED_OUTPUTS = {"label", "value", "probabilities"}


class SklearnEngine:
    """Returns `label` or `value`, and if the model has them `probabilities`, `decision`, `scores`, `transformed`.

    Several inputs are joined column by column: in the order of the names that the model was fitted on, or else in that
    of the signature.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._model = load_trusted(path)
        try:
            self._methods = methods_for(self._model, signature.outputs)
            self._rows = rows_for(self._model, signature.inputs)
        except SignatureMismatchError as error:
            raise SignatureMismatchError(error.detail, fitting=_fitting(self._model, signature)) from None
        self._transformers, self._final = _stages(self._model)
        self._has_missing = any(tensor.allows_missing for tensor in signature.inputs)
        self._asks_row_by_row = looks_at_all_rows(self._model)

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        return promised_form(self._signature, self.ask(inputs))

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        rows = self._rows.of(inputs)
        try:
            # Values that are not finite were already rejected, and the parameters of a fitted model do not change.
            with config_context(assume_finite=not self._has_missing, skip_parameter_validation=True):
                if self._asks_row_by_row and len(rows) > 1:
                    answers = [self._answers(rows[index : index + 1]) for index in range(len(rows))]
                    return {name: np.concatenate([answer[name] for answer in answers]) for name in self._methods}
                return self._answers(rows)
        # A model can raise anything; the cause is kept, and the caller turns it into an answer.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error

    def samples(self) -> Iterator[Tensors]:
        return samples_for(self._model, self._rows.inputs)

    def _answers(self, rows: Any) -> Tensors:  # noqa: ANN401 - an array or a frame
        count = len(rows)
        for transformer in self._transformers:
            rows = transformer.transform(rows)
        return {name: dense(getattr(self._final, method)(rows), rows=count) for name, method in self._methods.items()}


def _fitting(model: Any, given: Signature) -> Signature | None:  # noqa: ANN401 - whatever estimator the file holds
    """Return the signature that fits a model, with the given names where they fit; None if it has no outputs."""
    inputs = fitting_inputs(model, given.inputs)
    rows = rows_for(model, inputs)
    for sample in samples_for(model, rows.inputs):
        try:
            return Signature(inputs=inputs, outputs=_answered(model, rows.of(sample)))
        except Exception:  # noqa: BLE001, S112 - this is advice for an error that is raised anyway
            continue
    return None


def _answered(model: Any, rows: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - any estimator, an array or a frame
    known = offered(model)
    wanted = [name for name in known if name in _PREFERRED_OUTPUTS] or list(known)
    answers = {name: dense(getattr(model, known[name])(rows), rows=len(rows)) for name in wanted}
    return tuple(
        Tensor(name=name, datatype=datatype_of(answer), shape=(-1, *answer.shape[1:]))
        for name, answer in answers.items()
    )


def _stages(model: Any) -> tuple[list[Any], Any]:  # noqa: ANN401 - whatever estimator the file holds
    """Split a pipeline, so that several outputs share one preprocessing; its own methods do the same."""
    if type(model) is not Pipeline:
        return [], model
    steps = [step for _, step in model.steps]
    if steps[-1] is None or steps[-1] == "passthrough":
        return [], model
    return [step for step in steps[:-1] if step is not None and step != "passthrough"], steps[-1]
