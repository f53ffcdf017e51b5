from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm, t

from tune_app.stats.power import power, sample_size


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_needed_by_the_book(effect: float, pairs: int) -> None:
    # Cohen's small, medium and large effects at 80%, as G*Power gives them for a paired t test
    assert sample_size(effect, 1.0) == pairs
    assert power(effect, 1.0, pairs) >= 0.8 > power(effect, 1.0, pairs - 1)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 1000])
@pytest.mark.parametrize("level", [0.05, 0.05 / 36])
def test_power_is_the_integral_that_it_stands_for(n: int, level: float) -> None:
    effects = np.concatenate([np.linspace(0, 12, 25), [20.0, 60.0, 500.0]]) / math.sqrt(n)
    spreads = np.sqrt(chi2.ppf((np.arange(4000) + 0.5) / 4000, n - 1) / (n - 1))
    limit = t.isf(level / 2, n - 1)
    expected = [
        (norm.sf(limit * spreads - shift) + norm.cdf(-limit * spreads - shift)).mean()
        for shift in effects * math.sqrt(n)
    ]
    assert power(effects, 1.0, n, level) == pytest.approx(expected, abs=2e-4)


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    assert power(0.0, 1.0, [2, 5, 50]) == pytest.approx([0.05] * 3, abs=1e-6)
    assert sample_size(0.0, 1.0) == -1


def test_beyond_what_was_asked_it_says_so() -> None:
    assert sample_size([0.01, 1.0], 1.0, most=100).tolist() == [-1, 10]
    assert sample_size(5.0, 1e-9, spent=2) == 3


@given(st.floats(0.05, 3), st.floats(1.01, 3))
def test_larger_differences_need_no_more(effect: float, factor: float) -> None:
    small, large = sample_size([effect, effect * factor], 1.0, most=10_000)
    assert large <= small
    assert power(effect, 1.0, 10) <= power(effect * factor, 1.0, 10)


@given(st.floats(0.3, 2), st.integers(2, 40))
def test_a_stricter_level_needs_more(effect: float, comparisons: int) -> None:
    assert sample_size(effect, 1.0, 0.05 / comparisons) >= sample_size(effect, 1.0, 0.05)
