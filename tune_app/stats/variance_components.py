"""Seeds and patients at once: how far a mean over both would move, were both drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from tune_app.stats.patients import PatientGroups, variance_over_patients

Floats = NDArray[np.float64]

#: With fewer seeds an interval over both levels does not cover what it says; see docs/statistics.md.
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
    Radiol. 27 (1992), with the floor of S. L. Hillis, Stat. Med. 26 (2007).

    Raises:
        ValueError: fewer than two replicates, or no more patients than classes.
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


@dataclass(frozen=True)
class TwoLevel:
    """A mean over ``seeds`` replicates and ``patients`` patients, and its interval's half-width over both."""

    mean: float
    half_width: float
    seeds: int
    patients: int


def two_level(values: Floats, units: PatientGroups, confidence: float = 0.95) -> TwoLevel | None:
    """The mean of ``values`` (R, N) and its interval, were other seeds trained and other patients tested.

    None for fewer than 3 replicates: of two, it would be wide (t is 12.7) and cover up to 98%.
    Differences of two configurations' values, replicate by replicate, may be given as well.

    Raises:
        ValueError: no more patients than classes.
    """
    if values.shape[0] < FEWEST_SEEDS:
        return None
    found = components(values, units)
    return TwoLevel(float(found.mean), float(found.half_width(confidence)), values.shape[0], units.count)
