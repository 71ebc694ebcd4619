import numpy as np

from workers.drift_watch.changes import Changes, Seen, followed, no_changes


def follow(log_ratios: list[float], *, rows: float = 10.0) -> Changes:
    changes = no_changes((1, 1, 1))
    for at, ratio in enumerate(log_ratios):
        seen = Seen(at, np.array([ratio]), np.array([rows]), np.array([2.0]))
        changes = followed(changes, np.full((1, 1, 1), ratio), seen)
    return changes


def test_the_start_is_that_of_the_highest_likelihood() -> None:
    ratios = [0.5, -2.0, 0.3, -0.1, 0.4, 0.2]

    changes = follow(ratios)

    by_start = [sum(ratios[start:]) for start in range(len(ratios))]
    assert changes.started_at_ms.item() == int(np.argmax(by_start))
    assert changes.likelihood.item() == max(by_start)


def test_sums_begin_with_the_change() -> None:
    changes = follow([-1.0, 0.5, 0.5])

    assert changes.rows.item() == 20
    assert changes.sums.item() == 10
    assert changes.cost.item() == 40


def test_a_window_without_rows_moves_no_start() -> None:
    begun = follow([-1.0])
    seen = Seen(9, np.zeros(1), np.zeros(1), np.ones(1))

    assert followed(begun, np.zeros((1, 1, 1)), seen).started_at_ms.item() == 0
