"""The set that may hold the best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_1samp

from benchmarks import best_set as bench
from benchmarks.simulate import single_images
from tune_app.stats.best_set import Floats, over_patients, over_seeds
from tune_app.stats.patients import PatientGroups

SWEEPS = 300

sweeps = st.tuples(st.integers(1, 6), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 40).map(lambda share: share / 40))
)


@given(sweeps)
@settings(max_examples=50)
def test_the_highest_mean_is_always_in(values: Floats) -> None:
    assert over_seeds(values)[values.mean(axis=1).argmax()]


@given(sweeps, st.sampled_from([1e-200, 1e-3, 100.0, 1e200]))
@settings(max_examples=50)
def test_order_and_unit_play_no_part(values: Floats, unit: float) -> None:
    order = np.random.default_rng(0).permutation(len(values))
    found = over_seeds(values)
    assert over_seeds(values[order]).tolist() == found[order].tolist()
    assert over_seeds(values * unit).tolist() == found.tolist()


@given(sweeps)
@settings(max_examples=50)
def test_equal_configurations_share_their_answer(values: Floats) -> None:
    found = over_seeds(np.concatenate([values, values[:1]]))
    assert found[0] == found[-1]


def test_constant_differences_leave_at_once() -> None:
    assert over_seeds(np.array([[99.0] * 3, [50.0] * 3, [99.0] * 3])).tolist() == [True, False, True]
    assert over_seeds(np.array([[0.82, 0.84, 0.86], [0.81, 0.83, 0.85]])).tolist() == [True, False]


def test_a_difference_within_the_rounding_of_few_images_says_nothing() -> None:
    values = np.array([[0.98, 0.98, 0.98], [0.975, 0.975, 0.975]])
    assert over_seeds(values).tolist() == [True, False]
    assert over_seeds(values, step=0.005 * 10).tolist() == [True, True]


def test_two_configurations_are_compared_by_a_t_test() -> None:
    rng = np.random.default_rng(5)
    inside = []
    for lead in np.linspace(0, 3, 60):
        values = rng.standard_normal((2, 5)) + np.array([[0.0], [lead]])
        p = float(ttest_1samp(values[1] - values[0], 0, alternative="greater").pvalue)
        if abs(p - 0.025) > 0.004:  # the error of random directions
            inside.append(over_seeds(values)[0] == (p > 0.025))
    assert len(inside) > 40
    assert all(inside)


@pytest.mark.parametrize(
    "case",
    [
        next(case for case in bench.lost_cases() if case.name == name and case.seeds == seeds)
        for name, seeds in (
            ("9 equal, correlation 0.3", 3),
            ("9, sds 1 to 8, the given one's 1, correlation 0.3", 3),
            ("9, sds 1 to 8, the given one's 4", 5),
            ("9 accuracies of 98% of 200 images, correlation 0.9", 3),
        )
    ],
    ids=lambda case: case.name,
)
def test_a_given_best_one_is_seldom_lost(case: bench.Case) -> None:
    lost = sum(not over_seeds(sweep, case.step)[0] for sweep in case.draw(SWEEPS))
    assert lost / SWEEPS <= 0.055 + 4 * (0.05 * 0.95 / SWEEPS) ** 0.5


def test_a_clear_winner_is_named_alone() -> None:
    case = next(case for case in bench.power_cases() if "0.7" in case.name)
    alone = sum(over_seeds(sweep).tolist() == [True] + [False] * 8 for sweep in case.draw(100))
    assert alone >= 80


def test_other_patients() -> None:
    units = single_images(200)
    rng = np.random.default_rng(0)
    skill = np.array([1.5, 1.5, 0.0])
    right = (skill[:, None] + rng.standard_normal((3, 200)) > 0).astype(float)
    assert over_patients(right, units).tolist() == [True, True, False]
    assert over_patients(right[[2, 2]], units).all()


def test_patients_with_several_images_count_once() -> None:
    values = np.array([[1.0, 0.0] * 10 + [1.0] * 4, [1.0, 0.0] * 10 + [0.0] * 4])
    one_person = PatientGroups.of([0] * 24, [f"p{number}" for number in range(20)] + ["last"] * 4)
    assert over_patients(np.repeat(values, 5, axis=1), PatientGroups.of([0] * 120)).tolist() == [True, False]
    assert over_patients(values, one_person).all()


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="1 replicates"):
        over_seeds(np.ones((3, 1)))
    with pytest.raises(ValueError, match="finite"):
        over_seeds(np.array([[1.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="2 patients"):
        over_patients(np.ones((2, 2)), PatientGroups.of([0, 1]))
