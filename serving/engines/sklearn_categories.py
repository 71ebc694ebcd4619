"""Values that a fitted model has seen, so that its encoders know the values in a generated row."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import FeatureUnion, Pipeline


def known_values(model: Any, columns: list[int] | None = None) -> dict[int, Any]:  # noqa: ANN401 - any estimator
    """Return a value for each column, by its number, that an encoder reads or that has bounds."""
    if columns is None:
        columns = list(range(int(getattr(model, "n_features_in_", 0))))
    match model:
        case ColumnTransformer():
            chosen = getattr(model, "_transformer_to_input_indices", {})
            return _joined(
                known_values(transformer, [columns[index] for index in chosen.get(name, ()) if index < len(columns)])
                for name, transformer, _ in getattr(model, "transformers_", ())
            )
        case FeatureUnion():
            return _joined(known_values(transformer, columns) for _, transformer in model.transformer_list)
        case Pipeline():
            return _of_steps([step for _, step in model.steps], columns)
        case IsotonicRegression():
            # It has no answer outside the range that it has seen, and does not say how many columns it takes.
            return {(columns or [0])[0]: model.X_min_}
        case _ if hasattr(model, "best_estimator_"):
            return known_values(model.best_estimator_, columns)
        case _:
            categories = getattr(model, "categories_", ())
            return {column: each[0] for column, each in zip(columns, categories, strict=False) if len(each)}


def _of_steps(steps: list[Any], columns: list[int]) -> dict[int, Any]:
    """Look past steps that leave the columns unchanged."""
    for step in steps:
        found = known_values(step, columns)
        if found or getattr(step, "n_features_in_", len(columns)) != len(columns):
            return found
    return {}


def _joined(found: Any) -> dict[int, Any]:  # noqa: ANN401 - an iterable of dictionaries
    return {column: value for each in found for column, value in each.items()}
