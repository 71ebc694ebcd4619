"""Wide tensors, of which random projections, the norm and the mean are stored."""

import numpy as np
import pytest

from projections.feature_summaries.vectors import NAMES, PROJECTIONS, signs_of, stand_ins
from tests.support.summarised import summarised, tensor

WIDTH = 65


def test_a_wide_tensor_is_stored_as_numbers_that_stand_for_its_rows() -> None:
    rows = np.random.default_rng(1).normal(size=(3, WIDTH))

    found = summarised({"x": tensor(rows.ravel().tolist(), rows.shape)})

    assert set(found) == {f"x~{name}" for name in NAMES}
    assert found["x~norm"]["sum_of_squares"] == pytest.approx((rows**2).sum())
    assert found["x~mean"]["sum_of_values"] == pytest.approx(rows.mean(axis=1).sum())
    projected = rows @ signs_of(WIDTH)[0] / np.sqrt(WIDTH)
    assert found["x~projection[0]"]["sum_of_values"] == pytest.approx(projected.sum())


@pytest.mark.parametrize(
    ("row", "counted"),
    [
        ([1.0] * (WIDTH - 1) + [None], "missing"),
        ([1.0] * (WIDTH - 1) + ["text"], "unreadable"),
        ([1.0] * (WIDTH - 1) + [[1.0, 2.0]], "unreadable"),
        ([1.0], "unreadable"),
    ],
)
def test_a_row_with_a_value_that_is_no_number_spoils_no_other_row(row: list[object], counted: str) -> None:
    found = summarised({"x": tensor([[1.0] * WIDTH, row], (2, WIDTH))})

    assert {name: (each["values"], each[counted]) for name, each in found.items()} == {
        f"x~{name}": (1, 1) for name in NAMES
    }


def test_rows_with_infinities_and_nans_are_neither_added_nor_binned() -> None:
    rows = np.ones((3, WIDTH))
    rows[0, 0], rows[1, 0], rows[1, 1] = np.inf, np.inf, np.nan

    found = stand_ins(rows)

    assert np.isinf(found[0]).all()
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[2]).all()


def test_numbers_too_large_for_a_norm_do_no_harm() -> None:
    found = stand_ins(np.full((1, WIDTH), 1e300))

    assert np.isinf(found[0, NAMES.index("norm")])


def test_directions_of_different_widths_begin_the_same_way() -> None:
    assert (signs_of(1000)[:, :WIDTH] == signs_of(WIDTH)).all()
    assert np.unique(signs_of(1000)).tolist() == [-1.0, 1.0]


def test_directions_are_balanced_and_different() -> None:
    signs = signs_of(4_096)
    products = np.abs(signs @ signs.T) / 4_096

    assert np.abs(signs.mean(axis=1)).max() < 0.06
    assert np.max(products - np.eye(PROJECTIONS)) < 0.06
