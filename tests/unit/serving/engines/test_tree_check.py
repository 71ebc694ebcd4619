"""Models of trees are served; a tree that would lead out of its arrays is refused before it is asked."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from serving.engines.base import load_engine
from serving.engines.errors import MalformedArtifactError
from serving.engines.tree_check import check_trees
from tests.support.digits import SIGNATURE, digits

TRAINED_ON = 200
MODELS = [
    DecisionTreeClassifier(),
    RandomForestClassifier(5),
    ExtraTreesClassifier(5),
    GradientBoostingClassifier(n_estimators=2),
    HistGradientBoostingClassifier(max_iter=2),
    AdaBoostClassifier(n_estimators=2),
    BaggingClassifier(n_estimators=2, max_features=0.5),
    VotingClassifier([("tree", DecisionTreeClassifier())], voting="soft"),
    StackingClassifier([("tree", DecisionTreeClassifier())], cv=2),
    make_pipeline(StandardScaler(), PolynomialFeatures(2), RandomForestClassifier(2)),
    CalibratedClassifierCV(DecisionTreeClassifier(), cv=2),
    MLPClassifier(max_iter=300),
]


def fitted(model: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    pixels, labels = digits()
    return model.fit(pixels[:TRAINED_ON], labels[:TRAINED_ON])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_models_that_people_train_are_served_and_answer_as_they_do(model: Any, tmp_path: Path) -> None:  # noqa: ANN401
    path = tmp_path / "artifact"
    skops.io.dump(fitted(model), path)
    asked = digits()[0][TRAINED_ON : TRAINED_ON + 50]

    answer = load_engine("skops", path, SIGNATURE).predict({"pixels": asked})

    assert answer["label"].tolist() == model.predict(asked).tolist()


def spoiled(**nodes: tuple[int, int]) -> DecisionTreeClassifier:
    """Return a tree of which some nodes were changed: field=(node, value)."""
    model = fitted(DecisionTreeClassifier())
    state = model.tree_.__getstate__()
    for field, (node, value) in nodes.items():
        state["nodes"][field][node] = value
    model.tree_.__setstate__(state)
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"left_child": (0, 1_000_000)}, "leads out"),
        ({"right_child": (0, 1_000_000)}, "leads out"),
        ({"right_child": (0, -1)}, "leads out"),
        ({"left_child": (0, 0)}, "leads outside it or back"),
        ({"feature": (0, 64)}, "feature"),
        ({"feature": (0, -5)}, "feature"),
    ],
)
def test_a_tree_that_leads_out_of_its_arrays_is_refused(change: dict[str, tuple[int, int]], said: str) -> None:
    with pytest.raises(MalformedArtifactError, match=said):
        check_trees(spoiled(**change))


def test_a_tree_that_says_more_nodes_than_it_holds_is_refused() -> None:
    model = fitted(DecisionTreeClassifier())
    state = model.tree_.__getstate__()
    model.tree_.__setstate__({**state, "node_count": 1_000_000})

    with pytest.raises(MalformedArtifactError, match="1000000 nodes"):
        check_trees(model)


def test_a_forest_whose_trees_take_wider_rows_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    forest = fitted(RandomForestClassifier(2))
    wide = DecisionTreeClassifier().fit(np.tile(digits()[0][:50], 2), digits()[1][:50])
    wide.classes_ = forest.classes_
    forest.estimators_[1] = wide
    path = tmp_path / "artifact"
    path.write_bytes(io.BytesIO(skops.io.dumps(forest)).getvalue())

    with pytest.raises(MalformedArtifactError, match="a different width"):
        load_engine("skops", path, SIGNATURE)


@pytest.mark.parametrize(("field", "value"), [("left", 1_000), ("right", 0), ("feature_idx", 64), ("feature_idx", -1)])
def test_a_boosted_tree_that_leads_out_of_its_arrays_is_refused(field: str, value: int) -> None:
    model = fitted(HistGradientBoostingClassifier(max_iter=1))
    model._predictors[0][0].nodes[field][0] = value  # noqa: SLF001 - what a file would hold

    with pytest.raises(MalformedArtifactError):
        check_trees(model)
