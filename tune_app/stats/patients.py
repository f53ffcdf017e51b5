"""Images drawn again, a patient's together, alone and with the seeds: how far a mean over them would move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

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

    ``J / freedom * sum of squares`` (W. G. Cochran, "Sampling Techniques", 1977, chapter 9A); for an AUC,
    given as its placement values, that of N. A. Obuchowski, Biometrics 53 (1997). Raises ValueError where
    there are no more patients than classes.
    """
    if units.freedom < 1:
        raise ValueError(f"{units.count} patients: their spread takes more patients than classes")
    return np.asarray(units.count / units.freedom * (residuals**2).sum(axis=-1))


#: With fewer seeds an interval over both levels does not cover what it says; see `tune-app docs statistics`.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Components:
    """The variance of a mean (...) through the seeds drawn, and through the patients drawn.

    ``freedom`` has the degrees of freedom of the two.
    """

    mean: Floats
    seeds: Floats
    patients: Floats
    freedom: tuple[int, int]

    def half_width(self, confidence: float = 0.95) -> Floats:
        """Half-width of the interval of the mean: ``q * sqrt(seeds + patients)``.

        With ``w`` the seeds' share of the variance, q is midway between Satterthwaite's t (1946) of
        ``1 / (w^2 / f1 + (1 - w)^2 / f2)`` degrees of freedom, and Cochran's (1964), ``w t(f1) + (1 - w)
        t(f2)``. Never less than the interval of the seeds alone.
        """
        total = self.seeds + self.patients
        share = np.divide(self.seeds, total, out=np.ones_like(total), where=total > 0)
        of_seeds, of_patients = self.freedom
        level = (1 + confidence) / 2
        t_seeds, t_patients = t.ppf(level, of_seeds), t.ppf(level, of_patients)
        satterthwaite = t.ppf(level, 1 / (share**2 / of_seeds + (1 - share) ** 2 / of_patients))
        cochran = share * t_seeds + (1 - share) * t_patients
        midway = (satterthwaite + cochran) / 2 * np.sqrt(total)
        return np.asarray(np.maximum(midway, t_seeds * np.sqrt(self.seeds)))


def components(values: Floats, units: PatientGroups) -> Components:
    """Variance components of the mean of ``values`` (..., R, N), replicates crossed with images.

    The analysis of variance of two crossed random factors, as for several readers of the same cases; in mean
    squares ``(MS(R) + max(MS(J) - MS(RJ), 0)) / (R J)``: D. D. Dorfman, K. S. Berbaum and C. E. Metz, Invest.
    Radiol. 27 (1992), with the floor of S. L. Hillis, Stat. Med. 26 (2007). Raises ValueError for fewer than
    two replicates, or no more patients than classes.
    """
    replicates = values.shape[-2]
    if replicates < 2:
        raise ValueError(f"{replicates} replicates: a spread between seeds takes two or more")
    parts = units.residuals(values)
    common = parts.mean(axis=-2)
    single = parts - common[..., None, :]
    noise = variance_over_patients(single, units).sum(axis=-1) / (replicates * (replicates - 1))
    means = np.asarray(values, dtype=np.float64).mean(axis=-1)
    return Components(
        mean=np.asarray(means.mean(axis=-1)),
        seeds=np.asarray(means.var(axis=-1, ddof=1) / replicates),
        patients=np.maximum(variance_over_patients(common, units) - noise, 0.0),
        freedom=(replicates - 1, units.freedom),
    )
