"""What a skops file says of its model, read from its schema: the types in it, the columns it takes, what it predicts.

Nothing of scikit-learn is imported. What the file does not say is left open, and decided when the model is loaded.
"""

import math
from collections.abc import Mapping

import msgspec

from control_plane.artifacts.errors import SAVING_CALLS, NotAModelError, UnservableModelError
from control_plane.artifacts.skops_estimators import (
    final_of,
    first_of,
    has_no_columns,
    known_columns,
    predicted,
    probabilities,
    takes_texts,
    unfitted_of,
)
from control_plane.artifacts.skops_schema import Schema, type_of
from control_plane.ports import Difference
from schemas.events.registry import FLOATS, ArtifactFormat, Datatype, Signature, Tensor
from schemas.skops_functions import REMEDY, is_unknown

_LIBRARIES = frozenset({"builtins", "collections", "datetime", "functools", "numpy", "operator", "scipy", "sklearn"})
_BOOSTING_LIBRARIES: Mapping[ArtifactFormat, str] = {
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
}
# A large vocabulary takes many times its bytes once it is decoded; such a file is not read.
_MAX_BYTES = 16 * 1024**2
_MAX_INPUTS = 64
_MAX_NAME_LENGTH = 200
_NAMES_OF_PREDICTIONS = frozenset({"label", "value", "predict"})
_NAMES_OF_OTHERS = frozenset(
    {"probabilities", "predict_proba", "decision", "decision_function", "scores", "score_samples", "transformed"}
    | {"transform"}
)


class SkopsModel(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs that fit, where the file states them, and what is certain of them."""

    estimator: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    columns: int | None = None
    names: tuple[str, ...] = ()

    def difference_from(self, signature: Signature) -> Difference | None:
        """Say why the model could not keep what a signature promises."""
        return self._other_columns(signature) or self._other_names(signature) or self._other_prediction(signature)

    def _other_columns(self, signature: Signature) -> Difference | None:
        sizes = [tensor.shape[1:] for tensor in signature.inputs]
        if self.columns is None or any(size < 0 for shape in sizes for size in shape):
            return None
        promised = sum(math.prod(shape) for shape in sizes)
        if promised == self.columns:
            return None
        detail = f"the inputs have {promised} columns; this {self.estimator} takes {self.columns}"
        return Difference(field="signature.inputs", detail=detail)

    def _other_names(self, signature: Signature) -> Difference | None:
        given = [tensor.name for tensor in signature.inputs]
        if not self.names or len(given) == 1 or set(given) == set(self.names):
            return None
        if len(given) != len(self.names) and not set(given) & set(self.names):
            return None
        detail = f"this {self.estimator} was fitted on columns named {', '.join(self.names)}"
        return Difference(field="signature.inputs", detail=detail)

    def _other_prediction(self, signature: Signature) -> Difference | None:
        held = next((tensor for tensor in self.outputs if tensor.name in _NAMES_OF_PREDICTIONS), None)
        for index, tensor in enumerate(signature.outputs):
            is_only = len(signature.outputs) == 1 and tensor.name not in _NAMES_OF_OTHERS
            if held and (tensor.name in _NAMES_OF_PREDICTIONS or is_only) and not _gives(held, tensor):
                form = f"{held.datatype} {list(held.shape)}"
                return Difference(
                    field=f"signature.outputs[{index}]", detail=f"what this {self.estimator} predicts is {form}"
                )
        return None


def read_model(schema: bytes, headers: Mapping[str, bytes]) -> SkopsModel:
    """Read the schema of a file; `headers` are those of its arrays by their names.

    Raises:
        NotAModelError: the schema is not a tree of objects.
        UnservableModelError: it names types of others than scikit-learn, numpy and scipy, or functions that are not
            known to be safe, or the model is not fitted.
    """
    if len(schema) > _MAX_BYTES:
        return SkopsModel(estimator="model")
    try:
        tree = Schema(msgspec.json.decode(schema), headers)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAModelError(artifact_format="skops", reason="its schema.json cannot be read") from error
    _refuse_other_libraries(tree)
    _refuse_unknown_functions(tree)
    _refuse_unfitted(tree)
    final, first = final_of(tree, tree.root), first_of(tree, tree.root)
    columns, names = known_columns(tree, first)
    prediction = predicted(tree, final)
    outputs = (prediction, *probabilities(tree, final)) if prediction else ()
    return SkopsModel(
        estimator=str(final.get("__class__")),
        inputs=_inputs(columns, names, takes_texts(tree, first)),
        outputs=outputs,
        columns=columns,
        names=names,
    )


def _refuse_other_libraries(tree: Schema) -> None:
    found = {type_of(node) for node in tree.nodes()}
    others = sorted(name for name in found if not _is_of_a_library(name.partition(".")[0]))
    if others:
        raise UnservableModelError(
            f"it needs {', '.join(others[:10])}, which instances do not trust",
            artifact_format="skops",
            remedy=_remedy_for(tree, others),
        )


def _remedy_for(tree: Schema, others: list[str]) -> str:
    """Return the saving call of the library whose model is in the file; a pipeline has steps that it would not save."""
    for library, name in _BOOSTING_LIBRARIES.items():
        if type_of(tree.root).startswith(f"{library}."):
            return f"{SAVING_CALLS[library]}; register that file"
        if any(other.startswith(f"{library}.") for other in others):
            return f"register the model of {name} alone: {SAVING_CALLS[library]}; or export the pipeline to ONNX"
    return REMEDY


def _refuse_unknown_functions(tree: Schema) -> None:
    functions = {type_of(node) for node in tree.nodes() if node.get("__loader__") == "FunctionNode"}
    unknown = sorted(filter(is_unknown, functions))
    if unknown:
        raise UnservableModelError(
            f"it calls {', '.join(unknown[:10])}, which are not on the list of safe functions",
            artifact_format="skops",
            remedy=REMEDY,
        )


def _refuse_unfitted(tree: Schema) -> None:
    unfitted = unfitted_of(tree, tree.root)
    if unfitted is not None:
        detail, remedy = f"{unfitted.get('__class__')} is not fitted", "fit the model before it is saved"
    elif has_no_columns(tree, first_of(tree, tree.root)):
        detail, remedy = "it was fitted on rows of 0 columns", "fit it on one column or more"
    else:
        return
    raise UnservableModelError(detail, artifact_format="skops", remedy=remedy)


def _is_of_a_library(root: str) -> bool:
    # Compiled parts of scikit-learn name modules such as _loss.
    return root in _LIBRARIES or (root.startswith("_") and not root.startswith("__"))


def _inputs(columns: int | None, names: tuple[str, ...], texts: Mapping[int, bool] | None) -> tuple[Tensor, ...]:
    """Return an input for each named column, or one for all; none where texts stand beside numbers without names."""
    if texts is None:
        return (Tensor(name="text", datatype="BYTES", shape=(-1,)),)
    if columns is None:
        return ()
    fits = len(set(names)) == len(names) <= _MAX_INPUTS and all(0 < len(name) <= _MAX_NAME_LENGTH for name in names)
    if names and fits:
        types: list[Datatype] = ["BYTES" if texts.get(index) else "FP64" for index in range(columns)]
        return tuple(
            Tensor(name=name, datatype=datatype, shape=(-1,)) for name, datatype in zip(names, types, strict=True)
        )
    kinds = {texts.get(index, False) for index in range(columns)}
    if len(kinds) != 1:
        return ()
    return (Tensor(name="x", datatype="BYTES" if kinds.pop() else "FP64", shape=(-1, columns)),)


def _gives(held: Tensor, promised: Tensor) -> bool:
    several = len(held.shape) > 1
    if several and (len(promised.shape) != len(held.shape) or promised.shape[-1] not in {-1, held.shape[-1]}):
        return False
    if promised.datatype == "BYTES":
        return True
    if held.datatype == "BYTES":
        return False
    return promised.datatype in FLOATS or held.datatype not in FLOATS
