"""Images drawn again, a patient's together: the spread of a metric between samples of patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PatientGroups:
    """Of each of N images its patient (N,), numbered 0 to J - 1, and its class (N,).

    The number of images of each class is fixed, because whoever made the test set chose it.
    """

    patient: NDArray[np.intp]
    label: NDArray[np.intp]

    @classmethod
    def of(
        cls, labels: Sequence[int] | NDArray[np.int64], patients: Sequence[str] | None = None
    ) -> PatientGroups:
        """From labels (N,) and names of patients (N,); an image that names none ("") is a unit by itself."""
        label = np.unique(np.asarray(labels), return_inverse=True)[1]
        names = patients if patients is not None else [""] * len(label)
        if len(names) != len(label):
            raise ValueError(f"{len(names)} patients for {len(label)} images: one each is wanted")
        keys = [("patient", name) if name else ("image", str(row)) for row, name in enumerate(names)]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return cls(np.array([numbers[key] for key in keys], dtype=np.intp), label.astype(np.intp))

    def take(self, rows: NDArray[np.intp]) -> PatientGroups:
        """The groups of some of the images."""
        return PatientGroups(
            np.unique(self.patient[rows], return_inverse=True)[1].astype(np.intp), self.label[rows]
        )

    @cached_property
    def count(self) -> int:
        """J, the number of patients."""
        return int(self.patient.max()) + 1 if len(self.patient) else 0

    @cached_property
    def freedom(self) -> int:
        """Degrees of freedom of a variance between patients: one is spent on each class's mean."""
        return self.count - len(np.unique(self.label))

    def residuals(self, values: Floats) -> Floats:
        """Each patient's part (..., J) of the deviation of a mean over images, from ``values`` (..., N).

        The sum over a patient's images of value minus the mean of the image's class, over N; they sum to 0.
        """
        if values.shape[-1] != len(self.patient):
            raise ValueError(f"{values.shape[-1]} values for {len(self.patient)} images: one each is wanted")
        centred = np.array(values, dtype=np.float64)
        for label in np.unique(self.label):
            rows = np.flatnonzero(self.label == label)
            centred[..., rows] -= centred[..., rows].mean(axis=-1, keepdims=True)
        centred /= len(self.patient)
        order = np.argsort(self.patient, kind="stable")
        starts = np.searchsorted(self.patient[order], np.arange(self.count))
        return np.add.reduceat(centred[..., order], starts, axis=-1)


def variance_over_patients(residuals: Floats, units: PatientGroups) -> Floats:
    """Variance (...) of a mean over images between samples of patients, from its residuals (..., J).

    ``J / freedom * sum of squares``: the linearised variance of a mean over clusters of unequal sizes
    (W. G. Cochran, "Sampling Techniques", 1977, chapter 9A); for an AUC, given as its placement values,
    that of N. A. Obuchowski, Biometrics 53 (1997).

    Raises:
        ValueError: no more patients than classes.
    """
    if units.freedom < 1:
        raise ValueError(f"{units.count} patients: their spread takes more patients than classes")
    return np.asarray(units.count / units.freedom * (residuals**2).sum(axis=-1))
