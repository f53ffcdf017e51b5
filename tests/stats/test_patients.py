"""Samples of patients: groups of images, and intervals over patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tune_app.stats.intervals import mean_interval
from tune_app.stats.paired_tests import over_patients
from tune_app.stats.patients import PatientGroups, components, variance_over_patients


def outcomes(
    seed: int, replicates: int = 4, images: int = 60
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return (rng.normal(1, 1, images) + rng.normal(0, 1, (replicates, images)) > 0).astype(float)


def test_the_variance_over_single_images_is_that_of_their_mean() -> None:
    values, units = outcomes(3, replicates=1)[0], PatientGroups.of([0] * 60)
    variance = variance_over_patients(units.residuals(values), units)
    assert np.sqrt(variance) == pytest.approx(scipy.stats.sem(values))
    assert units.freedom == 59


def test_units_number_patients_and_leave_unknown_ones_alone() -> None:
    units = PatientGroups.of([0, 0, 1, 1, 1], ["b", "b", "", "", "a"])
    assert units.patient.tolist() == [0, 0, 1, 2, 3]
    assert (units.count, units.freedom) == (4, 2)
    part = units.take(np.array([2, 3, 4]))
    assert (part.patient.tolist(), part.count, part.freedom) == ([0, 1, 2], 3, 2)


def test_a_patient_named_as_a_row_is_no_unknown_one() -> None:
    assert PatientGroups.of([0, 0, 0], ["", "0", ""]).count == 3


def test_no_more_patients_than_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="more patients than classes"):
        over_patients(np.zeros((2, 4)), PatientGroups.of([0, 0, 1, 1], ["a", "a", "b", "b"]))


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_components_are_those_of_the_analysis_of_variance(seed: int) -> None:
    values, (R, J) = outcomes(seed), (4, 60)
    rows, columns, grand = values.mean(1), values.mean(0), values.mean()
    ms_r = J * ((rows - grand) ** 2).sum() / (R - 1)
    ms_j = R * ((columns - grand) ** 2).sum() / (J - 1)
    rest = values - rows[:, None] - columns + grand
    ms_rj = (rest**2).sum() / ((R - 1) * (J - 1))
    found = components(values, PatientGroups.of([0] * J))
    assert found.seeds == pytest.approx(ms_r / (R * J))
    assert found.patients == pytest.approx(max(ms_j - ms_rj, 0) / (R * J), abs=1e-12)
    assert found.freedom == (R - 1, J - 1)


def test_the_half_width_by_hand() -> None:
    values = outcomes(1)
    found = components(values, PatientGroups.of([0] * 60))
    total = float(found.seeds + found.patients)
    w = float(found.seeds) / total
    freedom = 1 / (w**2 / 3 + (1 - w) ** 2 / 59)
    satterthwaite = scipy.stats.t.ppf(0.975, freedom)
    cochran = w * scipy.stats.t.ppf(0.975, 3) + (1 - w) * scipy.stats.t.ppf(0.975, 59)
    assert satterthwaite < cochran
    midway = (satterthwaite + cochran) / 2 * math.sqrt(total)
    assert found.half_width() == pytest.approx(midway)
    assert midway > scipy.stats.t.ppf(0.975, 3) * math.sqrt(found.seeds)


@given(seeds, st.integers(2, 3))
def test_more_patients_of_the_same_kind_never_widen_it(seed: int, times: int) -> None:
    values = outcomes(seed)
    few = components(values, PatientGroups.of([0] * 60))
    many = components(np.tile(values, times), PatientGroups.of([0] * 60 * times))
    assert few.mean == pytest.approx(many.mean)
    assert many.half_width() <= few.half_width()
    assert many.freedom == (3, 60 * times - 1)


@given(seeds, st.integers(3, 6), st.floats(0, 0.2))
def test_patients_besides_never_narrow_the_interval_of_the_seeds(
    seed: int, replicates: int, tilt: float
) -> None:
    values = outcomes(seed, replicates)
    values[0] *= np.arange(60) % 60 >= 60 * tilt  # one seed is worse
    found = components(values, PatientGroups.of([0] * 60))
    alone = mean_interval(values.mean(axis=1).tolist())
    assert alone.half_width is not None
    assert found.half_width() >= alone.half_width * (1 - 1e-9)


@given(seeds, st.integers(2, 3))
def test_more_seeds_of_the_same_kind_leave_the_patients_alone(seed: int, times: int) -> None:
    values, units = outcomes(seed), PatientGroups.of([0] * 60)
    few, many = components(values, units), components(np.repeat(values, times, axis=0), units)
    assert few.seeds == 0 or many.seeds < few.seeds
    assert many.patients >= few.patients - 1e-12


def test_it_takes_two_seeds() -> None:
    with pytest.raises(ValueError, match="takes two or more"):
        components(outcomes(1, replicates=1), PatientGroups.of([0] * 60))


def test_images_of_one_patient_are_no_independent_images() -> None:
    values = np.repeat(outcomes(2, images=30), 4, axis=1)
    alone = components(values, PatientGroups.of([0] * 120))
    units = PatientGroups.of([0] * 120, [f"p{number // 4}" for number in range(120)])
    grouped = components(values, units)
    assert grouped.half_width() > 1.4 * alone.half_width()
    assert units.count == 30


def test_with_no_spread_there_is_no_width() -> None:
    found = components(np.ones((3, 20)), PatientGroups.of([0] * 20))
    assert (float(found.mean), float(found.half_width())) == (1.0, 0.0)


def test_sweeps_are_judged_each_by_itself() -> None:
    units = PatientGroups.of(np.arange(60) % 2)
    sweeps = np.stack([outcomes(seed) for seed in range(5)])
    together = components(sweeps, units).half_width()
    assert together.tolist() == pytest.approx(
        [float(components(each, units).half_width()) for each in sweeps]
    )
