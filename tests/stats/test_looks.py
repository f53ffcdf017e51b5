"""How the error probability is spent on several looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tune_app.stats import best_set
from tune_app.stats.looks import Look, members, planned_share, unplanned_share

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
    assert sum(planned_share(i, looks) for i in range(1, looks + 1)) == pytest.approx(1)
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
