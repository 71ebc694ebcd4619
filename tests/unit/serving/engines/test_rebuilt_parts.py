"""What compiled code would follow out of its arrays is built again, or refused before it is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy.sparse import csr_matrix
from sklearn.cluster import BisectingKMeans, KMeans
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import SplineTransformer
from sklearn.svm import SVC

from serving.engines.array_check import check_arrays
from serving.engines.errors import MalformedArtifactError, UntrustedTypeError
from serving.engines.rebuilt_parts import rebuild_parts
from serving.engines.sklearn_file import load_trusted
from serving.engines.tree_check import check_trees

ROWS = np.abs(np.random.default_rng(0).normal(size=(40, 3)))
CLASSES = np.arange(40) % 3


def saved(model: Any, folder: Path) -> Path:  # noqa: ANN401 - scikit-learn has no types
    path = folder / "artifact"
    skops.io.dump(model, path)
    return path


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_a_search_tree_of_a_file_is_never_followed(algorithm: str, tmp_path: Path) -> None:
    model = KNeighborsClassifier(algorithm=algorithm, leaf_size=2).fit(ROWS, CLASSES)
    state = list(model._tree.__getstate__())  # noqa: SLF001 - what a file holds
    state[1] = np.full_like(np.asarray(state[1]), 10**9)
    model._tree.__setstate__(tuple(state))  # noqa: SLF001 - the same

    loaded = load_trusted(saved(model, tmp_path))

    expected = KNeighborsClassifier(algorithm="brute").fit(ROWS, CLASSES)
    assert loaded.predict(ROWS).tolist() == expected.predict(ROWS).tolist()


def test_the_density_of_a_rebuilt_tree_is_that_of_the_model(tmp_path: Path) -> None:
    model = KernelDensity(bandwidth=0.5).fit(ROWS, sample_weight=np.arange(1.0, 41.0))

    loaded = load_trusted(saved(model, tmp_path))

    assert np.allclose(loaded.score_samples(ROWS), model.score_samples(ROWS))


def short_labels(model: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    model._y = model._y[:3]  # noqa: SLF001 - what a file would hold


def unknown_label(model: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    model._y[0] = 10**6  # noqa: SLF001 - what a file would hold


def metric_object(model: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    model.effective_metric_ = model._tree.dist_metric if hasattr(model._tree, "dist_metric") else object()  # noqa: SLF001


@pytest.mark.parametrize("spoil", [short_labels, unknown_label, metric_object])
def test_neighbours_that_do_not_fit_their_rows_are_refused(spoil: Any) -> None:  # noqa: ANN401 - a function
    model = KNeighborsClassifier().fit(ROWS, CLASSES)
    spoil(model)

    with pytest.raises(MalformedArtifactError):
        rebuild_parts(model)


def test_a_search_tree_where_scikit_learn_puts_none_is_refused(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, CLASSES)
    model.extra_ = KNeighborsRegressor(algorithm="kd_tree").fit(ROWS, CLASSES)._tree  # noqa: SLF001 - what a file would hold

    with pytest.raises(MalformedArtifactError, match="KDTree in a LogisticRegression"):
        load_trusted(saved(model, tmp_path))


def test_a_spline_whose_coefficients_do_not_fit_its_knots_is_refused(tmp_path: Path) -> None:
    model = SplineTransformer().fit(ROWS)
    model.bsplines_[0].c = model.bsplines_[0].c[:1]

    with pytest.raises(MalformedArtifactError, match="spline"):
        load_trusted(saved(model, tmp_path))


def test_a_sparse_array_that_leads_out_of_itself_is_refused(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, CLASSES).sparsify()
    model.coef_ = csr_matrix(model.coef_)
    model.coef_.indices[:] = 10**6

    with pytest.raises(MalformedArtifactError, match="sparse"):
        load_trusted(saved(model, tmp_path))


@pytest.mark.parametrize("field", ["_dual_coef_", "_intercept_", "_probA"])
def test_a_support_vector_machine_with_an_array_too_short_is_refused(field: str) -> None:
    model = SVC().fit(ROWS, CLASSES)
    setattr(model, field, np.ones(1))

    with pytest.raises(MalformedArtifactError, match="support vector"):
        check_arrays(model)


def test_centres_of_another_width_are_refused() -> None:
    model = KMeans(2, n_init=1).fit(ROWS)
    model.cluster_centers_ = model.cluster_centers_[:, :1]
    tree = BisectingKMeans(2).fit(ROWS)
    tree._bisecting_tree.left.center = np.ones(1)  # noqa: SLF001 - what a file would hold

    for spoiled in (model, tree):
        with pytest.raises(MalformedArtifactError, match="centre"):
            check_arrays(spoiled)


def test_a_boosted_ensemble_with_more_trees_for_a_step_than_it_says_is_refused() -> None:
    model = GradientBoostingClassifier(n_estimators=2).fit(ROWS, CLASSES)
    model.n_trees_per_iteration_ = 1

    with pytest.raises(MalformedArtifactError, match="boosted"):
        check_trees(model)


def categorical() -> Any:  # noqa: ANN401 - scikit-learn has no types
    rows = np.column_stack([ROWS, CLASSES])
    return HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], min_samples_leaf=2).fit(rows, CLASSES)


def test_a_boosted_model_with_categories_is_served(tmp_path: Path) -> None:
    rows = np.column_stack([ROWS, CLASSES])

    loaded = load_trusted(saved(categorical(), tmp_path))

    assert loaded.predict(rows).tolist() == CLASSES.tolist()


def test_a_boosted_model_whose_tables_of_categories_are_too_small_is_refused() -> None:
    short, unknown = categorical(), categorical()
    short._bin_mapper.is_categorical_ = np.array([1], np.uint8)  # noqa: SLF001 - what a file would hold
    unknown._bin_mapper.is_categorical_[:] = 0  # noqa: SLF001 - the same

    for spoiled in (short, unknown):
        with pytest.raises(MalformedArtifactError, match="categories"):
            check_trees(spoiled)


def test_a_function_inside_a_partial_is_trusted_no_more_than_alone(tmp_path: Path) -> None:
    from functools import partial  # noqa: PLC0415 - only this test
    from os.path import join  # noqa: PLC0415 - the same

    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415 - the same

    with pytest.raises(UntrustedTypeError, match="join"):
        load_trusted(saved(FunctionTransformer(partial(join, "a")), tmp_path))
