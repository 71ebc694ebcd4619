"""The table of `rollbook features`: windows are put together, and quantiles are those of the bins."""

import numpy as np
import pytest

from infra.value_bins import bin_of
from rollbook.cli.features import feature_lines
from rollbook.resources import FeatureSummary

NOTHING: dict[str, int] = {}


def window(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], *, start_ms: int = 0, feature: str = "input.x"
) -> FeatureSummary:
    bins, counts = np.unique(bin_of(values), return_counts=True)
    return FeatureSummary(
        start_ms=start_ms,
        deployment_id="blue",
        version_id="version-1",
        feature=feature,
        kind="number",
        values=len(values),
        missing=1,
        infinite=0,
        unreadable=0,
        cut=0,
        sum=float(values.sum()),
        sum_of_squares=0.0,
        minimum=0.0,
        maximum=0.0,
        bins=bins.tolist(),
        counts=counts.tolist(),
        categories=NOTHING,
        other=0,
    )


def test_windows_are_put_together() -> None:
    values = np.random.default_rng(1).normal(size=10_001) * 100
    windows = [window(part, start_ms=at) for at, part in enumerate(np.array_split(values, 3))]

    (line,) = feature_lines(windows)

    assert (line["values"], line["missing"], line["mean"]) == (10_001, 3, pytest.approx(values.mean()))
    found = [line[name] for name in ("p05", "p50", "p95")]
    assert found == pytest.approx(np.quantile(values, [0.05, 0.5, 0.95]), rel=0.001, abs=0.02)


def test_zero_is_zero() -> None:
    (line,) = feature_lines([window(np.zeros(3))])

    assert (line["p50"], line["mean"]) == (0.0, 0.0)


def test_texts_show_their_most_frequent_values() -> None:
    empty = window(np.zeros(0), feature="output.label")
    counts = {"cat": 6, "dog": 2, "cow": 1}
    texts = FeatureSummary(
        **{name: getattr(empty, name) for name in empty.__struct_fields__}
        | {"kind": "category", "values": 10, "sum": None, "categories": counts, "other": 1}
    )

    (line,) = feature_lines([texts])

    assert (line["most_frequent"], line["mean"], line["p50"]) == ("cat 60%, dog 20%, cow 10%", None, None)
