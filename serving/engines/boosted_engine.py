"""What the engines of gradient-boosting libraries share: columns in, the model's outputs out."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from schemas.boosted_model import BoostedModel
from schemas.events.registry import Signature, Tensor
from serving.engines.answers import promised_form
from serving.engines.base import DTYPES, Array, Tensors
from serving.engines.columns import blocks_of, check_widths, in_order
from serving.engines.errors import PredictionFailedError, SignatureMismatchError
from serving.engines.samples import constant_inputs

EVEN_ODDS = 0.5


class BoostedEngine:
    """Joins several inputs column by column: in the order of the model's names, or else in that of the signature.

    A single output may have any name: it is the model's first. `answer` takes rows with the model's columns and returns
    every output of the model under its own name. Rows are object arrays if the model has categorical columns.
    """

    def __init__(self, model: BoostedModel, signature: Signature, answer: Callable[[Array], Tensors]) -> None:
        self._model = model
        self._signature = signature
        self._answer = answer
        try:
            self._inputs = _in_order(model, signature.inputs)
            self._outputs = _names(model, signature.outputs)
        except SignatureMismatchError as error:
            fitting = Signature(inputs=model.inputs, outputs=model.outputs)
            raise SignatureMismatchError(error.detail, fitting=fitting) from None

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, inputs: Mapping[str, Array]) -> Tensors:
        return promised_form(self._signature, self.ask(inputs))

    def ask(self, inputs: Mapping[str, Array]) -> Tensors:
        # Categories stay strings or integers, which an array of floats could not hold.
        dtype = np.object_ if self._model.categorical else DTYPES[self._model.datatype]
        rows = np.hstack([block.astype(dtype, copy=False) for block in blocks_of(inputs, self._inputs)])
        # Compiled code would read past the end of a row that is too short.
        if rows.shape[1] != self._model.columns:
            raise PredictionFailedError(f"a row has {rows.shape[1]} columns; this model takes {self._model.columns}")
        try:
            answers = self._answer(rows)
        # A library can raise anything; the cause is kept, and the caller turns it into an answer.
        except Exception as error:
            raise PredictionFailedError(f"the model failed with {type(error).__name__}") from error
        return {name: answers[held] for name, held in self._outputs.items()}

    def samples(self) -> Iterator[Tensors]:
        return constant_inputs(self._signature)


def with_labels(predicted: Array) -> Tensors:
    """Return the indices of classes and their probabilities.

    `predicted` has the shape rows × classes or, for two classes, one probability per row: that of the second class.
    """
    if predicted.ndim > 1:
        return {"label": predicted.argmax(axis=1), "probabilities": predicted}
    probabilities = np.stack([1 - predicted, predicted], axis=1)
    return {"label": (predicted > EVEN_ODDS).astype(np.int64), "probabilities": probabilities}


def _in_order(model: BoostedModel, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    misfit = model.misfit(inputs)
    if misfit:
        tensor, reason = misfit
        raise SignatureMismatchError(f"the input {tensor.name!r} is {tensor.datatype}; {reason}")
    check_widths(inputs, columns=model.columns)
    return in_order(inputs, model.names) if model.names and len(inputs) > 1 else inputs


def _names(model: BoostedModel, outputs: tuple[Tensor, ...]) -> dict[str, str]:
    """Return the model's name for each of the signature's."""
    known = [tensor.name for tensor in model.outputs]
    if len(outputs) == 1 and outputs[0].name not in known:
        return {outputs[0].name: known[0]}
    for output in outputs:
        if output.name not in known:
            raise SignatureMismatchError(
                f"the signature promises the output {output.name!r}; this model of {model.library} answers "
                f"{', '.join(known)}"
            )
    return {output.name: output.name for output in outputs}
