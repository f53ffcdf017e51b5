from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tune_app.stats.intervals import Interval, mean_interval, prediction_interval_of_one_run, wilson

accuracies = st.lists(st.integers(0, 400).map(lambda correct: correct / 400), min_size=2, max_size=12)
ordinary = st.lists(st.integers(-1000, 1000).map(lambda i: i / 7), min_size=2, max_size=10).filter(
    lambda values: len(set(values)) > 1
)


def test_the_interval_of_a_mean_is_students() -> None:
    # by hand: sd 1, t(2) at 97.5% is 4.302653
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.n == 3
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([0.83]) == Interval(0.83, None, 1)
    assert mean_interval([]) == Interval(None, None, 0)


@given(ordinary, st.floats(0.5, 0.999))
def test_the_interval_is_scipys(values: list[float], confidence: float) -> None:
    found = mean_interval(values, confidence)
    low, high = scipy.stats.t.interval(
        confidence, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values)
    )
    assert found.mean is not None
    assert found.half_width is not None
    assert found.half_width == pytest.approx((high - low) / 2, rel=1e-9)
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-9, abs=1e-9)


@given(st.floats(0, 1), st.integers(2, 12))
def test_equal_values_have_no_spread_whatever_their_rounding(value: float, n: int) -> None:
    assert mean_interval([value] * n) == Interval(value, 0.0, n)


def test_the_range_of_one_run_by_hand() -> None:
    # sd 0.02, n 3, p 0.8; t(2) is 4.302653, z 1.959964
    reach = math.sqrt(4.302653**2 * 0.02**2 * (1 + 1 / 3) + 1.959964**2 * 0.8 * 0.2 / 400)
    assert prediction_interval_of_one_run([0.78, 0.80, 0.82], 400) == pytest.approx(
        (0.8 - reach, 0.8 + reach)
    )


def test_one_run_alone_says_nothing_of_the_next() -> None:
    assert prediction_interval_of_one_run([0.8], 400) is None
    assert prediction_interval_of_one_run([], 400) is None


@given(accuracies, st.integers(1, 1000))
def test_the_range_of_one_run_holds_the_mean_and_more_than_its_interval(
    values: list[float], images: int
) -> None:
    low, high = prediction_interval_of_one_run(values, images) or (2.0, -1.0)
    found = mean_interval(values)
    assert found.mean is not None
    assert found.half_width is not None
    assert 0 <= low <= found.mean <= high <= 1
    assert low <= max(0, found.mean - found.half_width)
    assert high >= min(1, found.mean + found.half_width)


@given(accuracies, st.integers(1, 999))
def test_more_test_images_never_widen_the_range(values: list[float], images: int) -> None:
    few = prediction_interval_of_one_run(values, images)
    many = prediction_interval_of_one_run(values, images + 1)
    assert few is not None
    assert many is not None
    assert few[0] <= many[0] <= many[1] <= few[1]


def coverage(n: int, sd: float, images: int, trials: int = 1000, believed: int | None = None) -> float:
    """The share of single runs that the range holds: seeds spread by ``sd``, the one on images of its own."""
    draws = np.random.default_rng([n, images])
    held = 0
    for _ in range(trials):
        seeds = np.clip(draws.normal(0.78, sd, n + 1), 0, 1)
        one = draws.binomial(images, seeds[-1]) / images
        low, high = prediction_interval_of_one_run(list(seeds[:-1]), believed or images) or (0, 0)
        held += low <= one <= high
    return held / trials


@pytest.mark.parametrize("n", [3, 6, 10])
@pytest.mark.parametrize(("sd", "images"), [(0.03, 20_000), (0.02, 400), (0.005, 400)])
def test_the_range_holds_95_of_100_single_runs_or_a_little_more(n: int, sd: float, images: int) -> None:
    assert 0.935 <= coverage(n, sd, images) <= 0.985


@pytest.mark.parametrize("n", [3, 6, 10])
def test_without_the_test_images_it_would_hold_too_few(n: int) -> None:
    assert coverage(n, sd=0.005, images=400, believed=10**9) < 0.8


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_where_the_score_test_turns(counts: tuple[int, int]) -> None:
    successes, n = counts
    share, z = successes / n, scipy.stats.norm.ppf(0.975)
    low, high = wilson(successes, n)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert (share - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, rel=1e-6, abs=1e-12)


def test_wilson_by_the_book() -> None:
    # 81 of 263: R. G. Newcombe, Stat. Med. 17 (1998), table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@given(st.lists(st.integers(0, 400).map(lambda right: right / 400), min_size=2, max_size=8))
def test_the_interval_shrinks_with_more_of_the_same(values: list[float]) -> None:
    few, many = mean_interval(values), mean_interval(values * 2)
    assert few.half_width is not None
    assert many.half_width is not None
    assert many.half_width <= few.half_width


@given(st.integers(0, 100), st.integers(100, 300))
def test_wilson_shrinks_with_more_of_the_same(successes: int, n: int) -> None:
    few, many = wilson(successes, n), wilson(2 * successes, 2 * n)
    assert many[1] - many[0] < few[1] - few[0]
