"""XGBoost's own files, UBJSON or JSON: how they are read, and what their learner says of itself."""

import json
from typing import Any

import msgspec

from schemas.boosted_model import BoostedModel, classification, regression
from schemas.events.registry import Tensor
from schemas.ubjson import decode

_BINARY = frozenset({"binary:logistic"})
_MULTICLASS = "multi:softprob"
_LABELS = frozenset({"binary:hinge", "multi:softmax"})
_MAX_COLUMNS = 1_000_000
_MAX_GROUPS = 100_000


class _Parameters(msgspec.Struct):
    num_feature: int
    num_class: int = 0
    num_target: int = 1
    base_score: str = "0.5"


class _Objective(msgspec.Struct):
    name: str


class _Learner(msgspec.Struct):
    learner_model_param: _Parameters
    objective: _Objective
    gradient_booster: dict[str, Any]
    attributes: dict[str, str] = {}
    feature_names: list[str] = []
    feature_types: list[str] = []


class XgboostDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`groups` is the number of margins that a row has; `booster` is what the file holds of the trees or weights."""

    objective: str
    columns: int
    groups: int
    base_score: str
    names: tuple[str, ...]
    attributes: dict[str, str]
    booster: dict[str, Any]

    def described(self) -> BoostedModel:
        """Return what follows for a signature."""
        return BoostedModel(
            library="XGBoost", columns=self.columns, names=self.names, datatype="FP32", outputs=self._outputs()
        )

    def _outputs(self) -> tuple[Tensor, ...]:
        if self.objective == _MULTICLASS:
            return classification(classes=self.groups)
        if self.objective in _BINARY and self.groups == 1:
            return classification(classes=2)
        if self.objective in _LABELS:
            return (Tensor(name="label", datatype="INT64", shape=(-1,)),)
        return regression(targets=self.groups, datatype="FP32")


def read_document(content: bytes) -> XgboostDocument:
    """Read a file.

    Raises:
        ValueError: XGBoost did not write it.
    """
    try:
        document = json.loads(content) if content[:2] == b'{"' else decode(content)
        learner = msgspec.convert(document.get("learner"), _Learner, strict=False)
    except (AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"it is neither UBJSON nor JSON of XGBoost ({error})") from error
    found = learner.learner_model_param
    groups = max(found.num_class, found.num_target, 1)
    if not 0 < found.num_feature <= _MAX_COLUMNS or groups > _MAX_GROUPS:
        raise ValueError(f"it has {found.num_feature} columns and {groups} groups, which is not valid")
    if learner.feature_names and len(learner.feature_names) != found.num_feature:
        raise ValueError(f"it names {len(learner.feature_names)} of {found.num_feature} columns")
    return XgboostDocument(
        objective=learner.objective.name,
        columns=found.num_feature,
        groups=groups,
        base_score=found.base_score,
        names=tuple(learner.feature_names),
        attributes=learner.attributes,
        booster=learner.gradient_booster,
    )
