"""Of every estimator of scikit-learn it is known whether it is served, and it is served as it answers by itself.

The table in docs/reference/scikit_learn.md is what is found here.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import pytest
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from control_plane.artifacts.skops_format import check_skops
from schemas.events.registry import Signature, Tensor
from serving.engines.answers import datatype_of
from serving.engines.base import Array, load_engine
from serving.engines.errors import CannotLoadError
from serving.engines.sklearn_file import checked_types
from serving.engines.sklearn_outputs import dense, offered
from serving.runtime.batching import joined, split_rows
from serving.runtime.trial import try_out
from tests.architecture.source_tree import ROOT
from tests.support.all_estimators import fitted_estimators

PAGE = ROOT / "docs/reference/scikit_learn.md"
Group: TypeAlias = Literal["served", "checked", "refused"]
GROUPS: dict[Group, str] = {"served": "served", "checked": "served after a look inside", "refused": "refused"}
METHODS = ("predict", "predict_proba", "decision_function", "score_samples", "transform")
REQUESTS = 3
# Linear algebra sums up in another order for more rows.
TOLERANCE = 1e-6


class Outcome(msgspec.Struct, frozen=True):
    """What became of an estimator.

    `differs` names an output that was answered otherwise when requests were joined, and `told` says what became of the
    model with the signature that the control plane reads from its file.
    """

    module: str
    group: Group
    reason: str = ""
    differs: str = ""
    told: str = "nothing"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    path = tmp_path_factory.mktemp("model") / "artifact"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind.__name__: _outcome(kind, model, rows, path) for kind, model, rows in fitted_estimators(METHODS)}


def test_every_estimator_is_served_or_refused_as_the_reference_says(outcomes: Mapping[str, Outcome]) -> None:
    page = PAGE.read_text(encoding="utf-8")

    stated = page[page.index("| module") :].split("\n\n")[0].strip()

    assert stated == _table(outcomes), f"write into {PAGE.name}:\n{_table(outcomes)}"


def test_requests_that_are_joined_get_the_answers_that_they_get_alone(outcomes: Mapping[str, Outcome]) -> None:
    assert {name: outcome.differs for name, outcome in outcomes.items() if outcome.differs} == {}
    assert sum(outcome.group != "refused" for outcome in outcomes.values()) > 150


def test_what_is_refused_is_refused_for_a_reason_that_is_known(outcomes: Mapping[str, Outcome]) -> None:
    reasons = {outcome.reason for outcome in outcomes.values() if outcome.group == "refused"}

    assert reasons == {"neither predicts nor transforms", "takes no tensors", "skops cannot save it"}


def test_a_signature_that_is_read_from_a_file_is_one_that_its_model_keeps(outcomes: Mapping[str, Outcome]) -> None:
    told = {name: outcome.told for name, outcome in outcomes.items() if outcome.told not in {"served", "nothing"}}

    assert told == {}
    assert sum(outcome.told == "served" for outcome in outcomes.values()) > 90


def _outcome(kind: type, model: Any, rows: Array | None, path: Path) -> Outcome:  # noqa: ANN401 - no types
    module = re.sub(r"\._.*", "", kind.__module__)
    if model is None or (rows is not None and not offered(model)):
        return Outcome(module, "refused", "neither predicts nor transforms")
    promised = None if rows is None else _signature(model, rows)
    if rows is None or promised is None:
        return Outcome(module, "refused", "takes no tensors")
    try:
        skops.io.dump(model, path)
    except UnsupportedTypeException:
        return Outcome(module, "refused", "skops cannot save it")
    try:
        engine = load_engine("skops", path, promised)
        try_out(engine)
    except CannotLoadError as error:
        return Outcome(module, "refused", str(error))
    requests = [{"x": rows[index : index + 1]} for index in range(REQUESTS)]
    together = split_rows(engine.predict(joined(requests)), [1] * REQUESTS)
    assert together is not None
    differs = [
        name
        for request, answer in zip(requests, together, strict=True)
        for name, alone in engine.predict(request).items()
        if not _are_alike(alone, answer[name])
    ]
    group: Group = "checked" if checked_types(path) else "served"
    return Outcome(module, group, differs="".join(differs[:1]), told=_as_told(path))


def _as_told(path: Path) -> str:
    with path.open("rb") as file:
        model = check_skops(file)
    if not model.inputs or not model.outputs:
        return "nothing"
    signature = Signature(inputs=model.inputs, outputs=model.outputs)
    assert model.difference_from(signature) is None
    try:
        try_out(load_engine("skops", path, signature))
    except CannotLoadError as error:
        return str(error)
    return "served"


def _signature(model: Any, rows: Array) -> Signature | None:  # noqa: ANN401 - scikit-learn has no types
    """Return what the model itself says that it takes and gives; None where it takes no rows of a tensor."""
    datatype = "BYTES" if rows.dtype == object else datatype_of(rows)
    inputs = (Tensor(name="x", datatype=datatype, shape=(-1, *rows.shape[1:])),)
    outputs = []
    for name, method in offered(model).items():
        try:
            answer = dense(getattr(model, method)(rows[:2]), rows=2)
        # A vectorizer of dictionaries meets numbers.
        except (AttributeError, TypeError, ValueError):
            return None
        outputs.append(Tensor(name=name, datatype=datatype_of(answer), shape=(-1, *answer.shape[1:])))
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _are_alike(first: Array, second: Array) -> bool:
    if first.dtype == object:
        return bool(first.tolist() == second.tolist())
    return np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE)


def _table(outcomes: Mapping[str, Outcome]) -> str:
    names: dict[str, dict[Group, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, outcome in sorted(outcomes.items()):
        names[outcome.module][outcome.group].append(f"`{name}`")
    rows = [("module", *GROUPS.values()), ("---",) * (len(GROUPS) + 1)]
    rows += [
        (f"`{module}`", *(", ".join(found[group]) or "–" for group in GROUPS))
        for module, found in sorted(names.items())
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
