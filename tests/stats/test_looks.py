"""How the error probability is spent on several looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tune_app.stats import best_set, paired_tests
from tune_app.stats.looks import Look, members, pairs, planned_share, unplanned_share

Floats = NDArray[np.float64]


def sweep(seed: int, lead: float = 0.0, seeds: int = 20) -> Floats:
    values = np.random.default_rng(seed).standard_normal((6, seeds))
    values[0] += lead
    return values


def test_the_first_look_of_an_unplanned_series_is_the_ordinary_verdict() -> None:
    values = sweep(1, lead=1.5)
    assert members(values, [Look(20)]).tolist() == best_set.over_seeds(values).tolist()


@pytest.mark.parametrize("looks", [1, 2, 8, 40])
def test_all_looks_together_spend_what_they_may(looks: int) -> None:
    assert sum(planned_share(looks) for _ in range(looks)) == pytest.approx(1)
    assert sum(unplanned_share(i) for i in range(1, looks + 1)) < 1.25


@given(st.integers(0, 200), st.floats(0, 3))
@settings(max_examples=30, deadline=None)
def test_who_left_at_one_look_stays_out(seed: int, lead: float) -> None:
    values = sweep(seed, lead)
    series = [Look(n, unplanned_share(i)) for i, n in enumerate((5, 10, 20), 1)]
    before = members(values, series[:1])
    for count in (2, 3):
        now = members(values, series[:count])
        assert now.any()
        assert not (now & ~before).any()
        before = now


def test_a_look_is_at_the_seeds_that_all_have_which_are_still_in() -> None:
    values = sweep(3, lead=4.0)
    values[1] += 4.0
    values[2:, 5:] = np.nan
    found = members(values, [Look(5), Look(20, 0.5)])
    assert found[2:].sum() == 0
    assert found[:2].tolist() == best_set.over_seeds(values[:2], spent=0.5).tolist()


def test_a_single_look_at_the_pairs_is_the_test_of_all_pairs() -> None:
    values = sweep(4, lead=2.0)
    found, plain = pairs(values, [Look(20)]), paired_tests.over_seeds(values)
    assert found.adjusted.tolist() == plain.adjusted.tolist()
    assert np.unique(found.freedom).tolist() == [19]


def test_a_difference_that_was_significant_stays_so_on_its_side() -> None:
    values = sweep(5, seeds=10)
    values[0, :5] += 20
    series = [Look(5), Look(10, unplanned_share(2))]
    first = paired_tests.over_seeds(values[:, :5]).adjusted[0]
    assert first < 0.05
    assert pairs(values, series).adjusted[0] == min(first, pairs(values, series[1:]).adjusted[0])
    values[0, 5:] -= 60
    assert pairs(values, series).adjusted[0] > 0.05


def test_each_pair_is_tested_on_all_replicates_that_both_have() -> None:
    values = sweep(6)
    values[2:, 8:] = np.nan
    found = pairs(values, [Look(20)])
    assert found.freedom.tolist() == [19] + 14 * [7]  # type: ignore[union-attr]
    assert found.p[0] == pytest.approx(paired_tests.paired(values[0], values[1]).p)  # type: ignore[union-attr]
    assert found.p[1:] == pytest.approx(paired_tests.over_seeds(values[:, :8]).p[1:])
