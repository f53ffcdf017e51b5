"""Two one-sided tests of "they differ by the margin or more"."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from tune_app.stats.equivalence import p_values

Floats = NDArray[np.float64]

sweeps = st.tuples(st.integers(2, 5), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 40).map(lambda share: share / 40))
)


@given(sweeps, st.floats(0.01, 0.5))
def test_it_is_the_larger_of_two_one_sided_t_tests(values: Floats, margin: float) -> None:
    found = p_values(values, margin)
    assert found.shape == (len(values), len(values))
    assert (found == found.T).all()
    assert (found.diagonal() == 0).all()
    differences = values[0] - values[1]
    if np.ptp(differences) > 1e-6:
        below = ttest_1samp(differences, margin, alternative="less").pvalue
        above = ttest_1samp(differences, -margin, alternative="greater").pvalue
        assert found[0, 1] == pytest.approx(max(below, above), rel=1e-6, abs=1e-12)


@given(sweeps, st.floats(0.01, 0.2), st.floats(0.01, 0.2))
def test_a_wider_margin_is_easier_to_show(values: Floats, margin: float, more: float) -> None:
    assert (p_values(values, margin + more) <= p_values(values, margin)).all()


def test_constant_differences_are_certain_unless_few_images_can_hide_a_spread() -> None:
    values = np.array([[0.98] * 3, [0.975] * 3, [0.9] * 3])
    assert p_values(values, 0.005)[0].tolist() == [0, 0, 1]
    assert p_values(values, 0.006, step=0.005)[0, 1] > 0.05
    assert p_values(values, 0.02, step=0.005)[0, 1] < 0.05


def test_equal_values_of_few_images_are_equal_only_within_what_the_images_hide() -> None:
    values = np.array([[0.98] * 3] * 2)
    assert p_values(values, 0.001)[0, 1] == 0
    assert p_values(values, 0.001, step=0.005)[0, 1] > 0.05
    assert p_values(values, 0.005, step=0.005)[0, 1] < 0.05


def test_one_seed_shows_nothing() -> None:
    with pytest.raises(ValueError, match="two or more"):
        p_values(np.array([[0.5], [0.5]]), 0.1)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_a_difference_of_the_margin_is_called_smaller_in_at_most_5_of_100(n: int) -> None:
    rng = np.random.default_rng(n)
    margin, sweeps_ = 0.5, 4000
    errors = 0
    for _ in range(sweeps_):
        values = rng.standard_normal((2, n)) * 0.3 + np.array([[margin], [0.0]])
        errors += p_values(values, margin)[0, 1] <= 0.05
    assert errors / sweeps_ == pytest.approx(0.05, abs=0.012)
