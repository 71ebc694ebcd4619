"""What is known of scikit-learn's estimators by their names and fitted attributes, as the schema of a file has them.

A test compares it with every estimator of scikit-learn.
"""

from collections.abc import Mapping

from control_plane.artifacts.skops_schema import ArrayForm, Node, Schema
from schemas.events.registry import Datatype, Tensor

_HOLDS_ONE = {
    **dict.fromkeys(
        ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"), "best_estimator_"
    ),
    **dict.fromkeys(("FixedThresholdClassifier", "TunedThresholdClassifierCV"), "estimator_"),
    "FrozenEstimator": "estimator",
}
_REGRESSORS = frozenset(
    {"BayesianRidge", "ElasticNet", "ElasticNetCV", "KernelRidge", "Lars", "LarsCV", "Lasso", "LassoCV", "LassoLars"}
    | {"LassoLarsCV", "LassoLarsIC", "LinearSVR", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso"}
    | {"MultiTaskLassoCV", "NuSVR", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "Ridge", "RidgeCV"}
    | {"SVR", "LinearRegression", "ARDRegression", "IsotonicRegression", "PLSRegression"}
)
_LABEL_WITHOUT_CLASSES = frozenset(
    {"AffinityPropagation", "BayesianGaussianMixture", "BisectingKMeans", "EllipticEnvelope", "GaussianMixture"}
    | {"IsolationForest", "KMeans", "LocalOutlierFactor", "MeanShift", "MiniBatchKMeans", "OneClassSVM"}
    | {"SGDOneClassSVM"}
)
_PROBABILISTIC = frozenset(
    {"AdaBoostClassifier", "BaggingClassifier", "BernoulliNB", "CalibratedClassifierCV", "CategoricalNB"}
    | {"ComplementNB", "DecisionTreeClassifier", "DummyClassifier", "ExtraTreeClassifier", "ExtraTreesClassifier"}
    | {"GaussianNB", "GaussianProcessClassifier", "GradientBoostingClassifier", "HistGradientBoostingClassifier"}
    | {"KNeighborsClassifier", "LabelPropagation", "LabelSpreading", "LinearDiscriminantAnalysis"}
    | {"LogisticRegression", "LogisticRegressionCV", "MLPClassifier", "MultinomialNB"}
    | {"QuadraticDiscriminantAnalysis", "RadiusNeighborsClassifier", "RandomForestClassifier"}
)
_VECTORIZERS = frozenset({"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"})
_READY_UNFITTED = frozenset(
    {"AdditiveChi2Sampler", "Binarizer", "ColumnTransformer", "CountVectorizer", "FeatureHasher", "FeatureUnion"}
    | {"FunctionTransformer", "GaussianProcessRegressor", "HashingVectorizer", "Normalizer", "PatchExtractor"}
    | {"Pipeline", "SparseCoder", "TfidfVectorizer"}
)
"""Estimators that may answer without being fitted, or whose parts do."""
_OTHER_CLASSES = frozenset(
    {"ClassifierChain", "LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer", "TargetEncoder"}
)
"""Estimators whose classes are not what they predict."""
_TEXT_KINDS = frozenset({"U", "S"})
_MAX_DEPTH = 50


def final_of(tree: Schema, model: Node) -> Node:
    """Return the estimator that predicts: the last step of a pipeline, the best one of a search."""
    for _ in range(_MAX_DEPTH):
        steps = _steps(tree, model)
        inner = steps[-1] if steps else tree.attribute(model, _HOLDS_ONE.get(_class_of(model), ""))
        if inner is None:
            return model
        model = inner
    return model


def first_of(tree: Schema, model: Node) -> Node:
    """Return the estimator that takes the columns: the first step of a pipeline, one of those that are asked alike."""
    for _ in range(_MAX_DEPTH):
        steps = _steps(tree, model)
        inner = steps[0] if steps else tree.attribute(model, _HOLDS_ONE.get(_class_of(model), ""))
        if inner is None and tree.attribute(model, "n_features_in_") is None:
            inner = next(iter(tree.items(tree.attribute(model, "estimators_"))), None)
        if inner is None:
            return model
        model = inner
    return model


def unfitted_of(tree: Schema, model: Node, *, depth: int = 0) -> Node | None:
    """Return a part of a model that must be fitted and is not; None where there is none, or it is not certain."""
    if depth == _MAX_DEPTH:
        return None
    frozen = tree.attribute(model, "estimator") if _class_of(model) == "FrozenEstimator" else None
    steps = _steps(tree, model) or ([frozen] if frozen else [])
    if steps:
        found = (unfitted_of(tree, step, depth=depth + 1) for step in steps)
        return next((part for part in found if part is not None), None)
    # What scikit-learn's BaseEstimator saves of itself: only an estimator has its version.
    is_estimator = _class_of(model) and tree.attribute(model, "_sklearn_version") is not None
    if not is_estimator or _class_of(model) in _READY_UNFITTED:
        return None
    return None if any(name.endswith("_") and not name.startswith("__") for name in tree.names(model)) else model


def has_no_columns(tree: Schema, first: Node) -> bool:
    """Return whether an estimator was fitted on rows without columns."""
    count = tree.value(tree.attribute(first, "n_features_in_"))
    return isinstance(count, int) and count < 1


def known_columns(tree: Schema, first: Node) -> tuple[int | None, tuple[str, ...]]:
    """Return how many columns an estimator takes, and their names."""
    count = tree.value(tree.attribute(first, "n_features_in_"))
    names = tuple(tree.value(part) for part in tree.items(tree.attribute(first, "feature_names_in_")))
    if not isinstance(count, int) or count < 1:
        return None, ()
    return count, names if len(names) == count and all(isinstance(name, str) for name in names) else ()


def takes_texts(tree: Schema, first: Node) -> Mapping[int, bool] | None:
    """Say which columns are texts; None where the estimator takes a list of texts rather than rows."""
    if _class_of(first) in _VECTORIZERS:
        return None
    # It encodes categories itself, by a transformer that it makes when it is fitted.
    encoder = tree.attribute(first, "_preprocessor") if _class_of(first).startswith("HistGradientBoosting") else None
    first = encoder if encoder and _class_of(encoder) else first
    if _class_of(first) != "ColumnTransformer":
        return dict(enumerate(_texts_of(tree, first)))
    found: dict[int, bool] = {}
    chosen = tree.attribute(first, "_transformer_to_input_indices")
    for parts in map(tree.items, tree.items(tree.attribute(first, "transformers_"))):
        if len(parts) > 1:
            indices = [tree.value(index) for index in tree.items(tree.member(chosen, str(tree.value(parts[0]))))]
            found.update(zip(indices, _texts_of(tree, parts[1], columns=len(indices)), strict=False))
    return found


def predicted(tree: Schema, final: Node) -> Tensor | None:
    """Return what `predict` answers; None where that is not known."""
    name = _class_of(final)
    if name in _REGRESSORS or (name.endswith("Regressor") and name != "MultiOutputRegressor"):
        targets = _targets(tree, final)
        return Tensor(name="value", datatype="FP64", shape=(-1,) if targets < 2 else (-1, targets))  # noqa: PLR2004 - several
    if name in _LABEL_WITHOUT_CLASSES:
        return Tensor(name="label", datatype="INT64", shape=(-1,))
    forms = [] if name in _OTHER_CLASSES else _classes(tree, final)
    datatypes = {_datatype(form) for form in forms}
    datatype = datatypes.pop() if len(datatypes) == 1 else None
    if datatype is None:
        return None
    return Tensor(name="label", datatype=datatype, shape=(-1,) if len(forms) == 1 else (-1, len(forms)))


def probabilities(tree: Schema, final: Node) -> tuple[Tensor, ...]:
    """Return what `predict_proba` answers, of those estimators that always have it."""
    forms = _classes(tree, final)
    if _class_of(final) not in _PROBABILISTIC or not forms:
        return ()
    classes = max(form.shape[0] for form in forms)
    shape = (-1, classes) if len(forms) == 1 else (-1, len(forms), classes)
    return (Tensor(name="probabilities", datatype="FP64", shape=shape),)


def _class_of(node: Node) -> str:
    return str(node.get("__class__")) if str(node.get("__module__")).startswith("sklearn.") else ""


def _steps(tree: Schema, model: Node) -> list[Node]:
    if _class_of(model) != "Pipeline":
        return []
    pairs = map(tree.items, tree.items(tree.attribute(model, "steps")))
    # A step that is left out is a text.
    return [pair[1] for pair in pairs if len(pair) > 1 and _class_of(pair[1])]


def _texts_of(tree: Schema, estimator: Node, *, columns: int = 1) -> list[bool]:
    """Say which of an encoder's columns are texts, also where it follows an imputer."""
    for step in _steps(tree, estimator) or [estimator]:
        if _class_of(step) in _VECTORIZERS:
            return [True] * columns
        categories = tree.items(tree.attribute(step, "categories_"))
        if categories:
            return [form is not None and form.kind in _TEXT_KINDS for form in map(tree.form, categories)]
    return []


def _classes(tree: Schema, final: Node) -> list[ArrayForm]:
    held = tree.attribute(final, "classes_")
    form = tree.form(held)
    found = [form] if form else [tree.form(part) for part in tree.items(held)]
    known = [each for each in found if each is not None and len(each.shape) == 1]
    return known if len(known) == len(found) else []


def _targets(tree: Schema, final: Node) -> int:
    count = tree.value(tree.attribute(final, "n_outputs_"))
    if isinstance(count, int):
        return count
    held = {"KNeighborsRegressor": ("_y", 1), "KernelRidge": ("dual_coef_", 1)}
    name, axis = held.get(_class_of(final), ("coef_", 0))
    form = tree.form(tree.attribute(final, name))
    return form.shape[axis] if form is not None and len(form.shape) == 2 else 1  # noqa: PLR2004 - rows of columns


def _datatype(form: ArrayForm) -> Datatype | None:
    match form.kind:
        case "b":
            return "BOOL"
        case "U" | "S":
            return "BYTES"
        case "i" if form.element_bytes in {1, 2, 4, 8}:
            return f"INT{8 * form.element_bytes}"  # type: ignore[return-value]  # one of the four
        case "u" if form.element_bytes in {1, 2, 4, 8}:
            return f"UINT{8 * form.element_bytes}"  # type: ignore[return-value]  # the same
        case "f":
            return "FP64" if form.element_bytes == 8 else "FP32"  # noqa: PLR2004 - bytes of a double
        case _:
            return None
