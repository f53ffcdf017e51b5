"""Samples of patients: groups of images, and intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from tune_app.stats.paired_tests import over_patients
from tune_app.stats.patients import PatientGroups, variance_over_patients


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


def test_values_and_images_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="3 values for 4 images"):
        over_patients(np.zeros((2, 3)), PatientGroups.of([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="1 patients for 2 images"):
        PatientGroups.of([0, 1], ["a"])
