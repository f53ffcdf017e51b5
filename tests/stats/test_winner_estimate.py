"""What to expect of the winner on new seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.best_set import winner_line
from tune_app.stats.intervals import mean_interval
from tune_app.stats.winner_estimate import expected


@pytest.mark.parametrize("seeds", [3, 5, 6, 7, 20])
def test_a_clear_winner_has_its_own_mean_and_interval(seeds: int) -> None:
    values = np.random.default_rng(0).standard_normal((4, seeds))
    values += np.array([[90.0], [50.0], [40.0], [30.0]])
    own = mean_interval(values[0].tolist())
    found = expected(values)
    assert found is not None
    assert own.half_width is not None
    assert found.half_width == pytest.approx(own.half_width, abs=0.3)
    assert found.mean == pytest.approx(own.mean, abs=0.2)


def test_leaving_out_one_seed_by_hand() -> None:
    values = np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.5]])
    # without seed 1, 2, 3: the second (1.25), the first (1.5), the first (1.5) is chosen
    found = expected(values)
    assert found is not None
    assert found.mean == pytest.approx((1.0 + 0.0 + 0.0) / 3)


@pytest.mark.parametrize("values", [np.empty((0, 5)), np.ones((4, 2))])
def test_two_seeds_cannot_choose_and_measure(values: NDArray[np.float64]) -> None:
    assert expected(values) is None


@pytest.mark.parametrize(("count", "better", "seeds"), [(9, 0.0, 5), (9, 2.0, 10), (40, 0.0, 5)])
def test_it_is_not_biased_where_the_mean_of_the_winner_is(count: int, better: float, seeds: int) -> None:
    bias, covered, own_bias, _ = winner_line(count, better, seeds, 0.3, sweeps=400)
    assert abs(bias) < 0.2
    assert covered > 88
    if not better:
        assert own_bias > 0.4
