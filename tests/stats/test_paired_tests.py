"""Paired tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm, t

from tune_app.stats.multiple_testing import holm
from tune_app.stats.paired_tests import (
    Difference,
    over_patients,
    over_seeds,
    paired,
    power,
    sample_size,
    share_step,
    welch,
)
from tune_app.stats.patients import PatientGroups

Compare = Callable[..., Difference | None]


ordinary = st.lists(st.integers(-1000, 1000).map(lambda i: i / 7), min_size=2, max_size=10).filter(
    lambda values: len(set(values)) > 1
)


grids = st.integers(2, 5).flatmap(
    lambda k: st.integers(2, 6).flatmap(
        lambda r: st.lists(
            st.lists(st.integers(0, 400).map(lambda i: i / 400), min_size=r, max_size=r),
            min_size=k,
            max_size=k,
        )
    )
)


@given(ordinary, ordinary)
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    found = welch(a, b)
    known = scipy.stats.ttest_ind(a, b, equal_var=False)
    ends = known.confidence_interval()
    assert found is not None
    assert found.half_width is not None
    assert found.p == pytest.approx(known.pvalue, rel=1e-6, abs=1e-12)
    assert found.difference - found.half_width == pytest.approx(ends.low, rel=1e-6, abs=1e-6)
    assert found.difference + found.half_width == pytest.approx(ends.high, rel=1e-6, abs=1e-6)


@given(ordinary, ordinary)
def test_welch_turned_round_is_the_same_but_for_its_sign(a: list[float], b: list[float]) -> None:
    one, other = welch(a, b), welch(b, a)
    assert one is not None
    assert other is not None
    assert one.difference == -other.difference
    assert one.p == pytest.approx(other.p, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.1, 0.2]), ([], [])])
def test_one_value_is_no_test(a: Sequence[float], b: Sequence[float]) -> None:
    assert welch(a, b) is None


@pytest.mark.parametrize("compare", [welch, paired])
def test_where_every_seed_gives_the_same_value_the_difference_is_exact(compare: Compare) -> None:
    apart, same = compare([0.99] * 5, [0.5] * 5), compare([0.3] * 3, [0.1 + 0.2] * 3)
    assert apart is not None
    assert apart.difference == pytest.approx(0.49)
    assert (apart.half_width, apart.p) == (None, 0.0)
    assert same is not None
    assert (same.difference, same.half_width, same.p) == (0.0, None, 1.0)


@pytest.mark.parametrize("compare", [welch, paired])
@pytest.mark.parametrize(("images", "seeds", "apart"), [(1, 2, False), (4, 2, True), (1, 5, True)])
def test_a_step_may_hide_a_spread(compare: Compare, images: int, seeds: int, apart: bool) -> None:
    # of 40 images; that two seeds differ by the same one image may be chance
    found = compare([(30 + images) / 40] * seeds, [30 / 40] * seeds, step=1 / 40)
    assert found is not None
    assert (found.p < 0.05) == apart


def test_equal_differences_of_few_images_raise_no_more_false_alarms_than_promised() -> None:
    # two configurations that are equally good, two seeds, accuracies on 40 images, spread by about one image
    right = np.round(32 + np.random.default_rng(1).normal(0, 0.8, (20_000, 2, 2))) / 40
    assert (over_seeds(right, step=1 / 40).p < 0.05).mean() < 0.05
    assert (over_seeds(right).p < 0.05).mean() > 0.1


@given(st.integers(1, 400), st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_the_step_of_shares(images: int, right: list[int]) -> None:
    shares = [min(number, images) / images for number in right]
    steps = [share / share_step(shares) for share in shares]
    assert steps == pytest.approx([round(each) for each in steps], abs=1e-6)


@pytest.mark.parametrize(
    "values",
    [[0.618033988749, 0.1415926535], [66.7], [-0.5], [0.5, math.pi / 4, math.e / 4], [1 / 997, 1 / 991]],
)
def test_what_comes_in_no_steps(values: list[float]) -> None:
    assert share_step(values) == 0


def test_one_seed_that_differs_by_rounding_changes_nothing() -> None:
    found = paired([0.99] * 4 + [0.99 + 1e-12], [0.5] * 5)
    assert found is not None
    assert found.p < 1e-6


def test_paired_by_the_book() -> None:
    # Student's own sleep data: t = -4.0621 with 9 degrees of freedom, p = 0.002833
    a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired(a, b)
    assert found is not None
    assert found.difference == pytest.approx(-1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    # the interval of R's t.test: -2.4598858 to -0.7001142
    assert found.half_width == pytest.approx((2.4598858 - 0.7001142) / 2, abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=2, max_size=8))
def test_paired_is_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = ([right / 400 for right in side] for side in zip(*pairs, strict=True))
    found = paired(a, b)
    assert found is not None
    if found.half_width is None:
        assert len({x - y for x, y in pairs}) == 1
        return
    known = scipy.stats.ttest_rel(a, b)
    assert found.p == pytest.approx(known.pvalue, rel=1e-6, abs=1e-12)
    ends = known.confidence_interval()
    assert found.difference - found.half_width == pytest.approx(ends.low, rel=1e-9, abs=1e-9)


def test_differences_that_do_not_vary_owe_nothing_to_the_seeds() -> None:
    a = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85]
    found = paired([value + 0.05 for value in a], a)
    assert found is not None
    assert found.half_width is None
    assert found.p == 0
    same = paired(a, a)
    assert same is not None
    assert (same.difference, same.p) == (0.0, 1.0)


def test_a_pair_takes_two_replicates() -> None:
    assert paired([0.1], [0.2]) is None
    with pytest.raises(ValueError, match="takes two or more"):
        over_seeds(np.zeros((3, 1)))


@given(grids)
def test_all_pairs_are_the_single_ones_and_holm_over_them(values: list[list[float]]) -> None:
    found = over_seeds(np.array(values))
    for place, (one, other) in enumerate(zip(found.first, found.second, strict=True)):
        alone = paired(values[one], values[other])
        assert alone is not None
        assert found.p[place] == pytest.approx(alone.p)
        assert found.difference[place] == pytest.approx(alone.difference, abs=1e-12)
    assert found.adjusted.tolist() == holm(found.p).tolist()


@given(grids, st.sampled_from([-900, -300, 300, 900]))
def test_the_size_of_the_values_changes_nothing(values: list[list[float]], power: int) -> None:
    found, scaled = over_seeds(np.array(values)), over_seeds(np.ldexp(values, power))
    assert scaled.p.tolist() == found.p.tolist()
    assert scaled.error.tolist() == np.ldexp(found.error, power).tolist()


def test_sweeps_are_judged_each_by_itself() -> None:
    draws = np.random.default_rng(3).normal(0.8, 0.02, (4, 3, 5))
    together = over_seeds(draws)
    for number, sweep in enumerate(draws):
        assert over_seeds(sweep).adjusted.tolist() == together.adjusted[number].tolist()


def disagreeing(
    first_only: int, second_only: int, images: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    right = np.zeros((2, images))
    right[0, :first_only] = 1
    right[1, first_only : first_only + second_only] = 1
    return right


def test_one_run_on_single_images_is_mcnemars_test() -> None:
    # A. Agresti, "Categorical Data Analysis", table 10.1: 150 and 86 of 1600 changed; z^2 = 17.36
    found = over_patients(disagreeing(86, 150, 1600), PatientGroups.of([0] * 1600))
    squared = (86 - 150) ** 2 / (86 + 150)
    assert squared == pytest.approx(17.36, abs=0.005)
    assert found.difference[0] == pytest.approx((86 - 150) / 1600)
    assert (found.difference[0] / found.error[0]) ** 2 == pytest.approx(squared * 1599 / (1600 - squared))


@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_patients_of_one_size_are_durkalskis_test(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, (2, 30 * size)).astype(float)
    names = [f"p{number // size}" for number in range(30 * size)]
    found = over_patients(right, PatientGroups.of([0] * (30 * size), names))
    totals = (right[0] - right[1]).reshape(30, size).sum(axis=1)
    squared = totals.sum() ** 2 / (totals**2).sum()
    assert (found.difference[0] / found.error[0]) ** 2 == pytest.approx(
        squared * 29 / (30 - squared), rel=1e-9
    )


def test_the_same_images_of_fewer_patients_say_less() -> None:
    right = disagreeing(40, 10, 400)
    single = over_patients(right, PatientGroups.of([0] * 400))
    grouped = over_patients(right, PatientGroups.of([0] * 400, [f"p{number // 4}" for number in range(400)]))
    assert single.difference.tolist() == grouped.difference.tolist()
    assert grouped.half_width[0] > 1.5 * single.half_width[0]
    assert grouped.p[0] > single.p[0]


def test_what_one_wins_on_a_class_and_loses_on_the_other_varies_less() -> None:
    # the number of images of each class is held, so a trade of one for the other does not vary with it
    labels = np.repeat([0, 1], 200)
    right = np.zeros((2, 400))
    right[0, :100], right[1, 200:300] = 1, 1
    held = over_patients(right, PatientGroups.of(labels)).error[0]
    assert held == pytest.approx(math.sqrt(400 / 398 * 2 * (100 * 0.5**2 + 100 * 0.5**2)) / 400)
    assert held < over_patients(right, PatientGroups.of([0] * 400)).error[0]


def test_equal_models_are_not_told_apart() -> None:
    found = over_patients(disagreeing(0, 0, 50), PatientGroups.of([0] * 50))
    assert (found.p[0], found.half_width[0]) == (1.0, 0.0)


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
