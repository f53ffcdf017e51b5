"""Configurations side by side: would other seeds change a difference, would other patients?

Replicate r of every configuration starts from the same random numbers and sees its batches in the same
order, so two configurations' replicates are compared pair by pair: the paired t test is exact for any
correlation between them, Welch's for none alone (`tune-app docs statistics`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nct, t

from tune_app.stats.arithmetic import mean
from tune_app.stats.intervals import quantile
from tune_app.stats.multiple_testing import holm
from tune_app.stats.patients import PatientGroups, variance_over_patients

Floats = NDArray[np.float64]
Name = TypeVar("Name")

#: Differences that differ by less than this share of the values do so by the rounding of float32.
_ROUNDING = 2.5e-7

#: Shares of more images than this are as good as continuous; nobody validates on fewer than these.
_MOST_IMAGES, _FEWEST_IMAGES = 1000, 20


@dataclass(frozen=True)
class Difference:
    """A difference of two means, its interval's half-width, and the two-sided p-value of no difference.

    ``half_width`` is None where seeds play no part: every one gives the same difference.
    """

    difference: float
    half_width: float | None
    p: float


def significant(
    tests: Mapping[tuple[Name, Name], Difference | None], level: float
) -> list[tuple[Name, Name]]:
    """The pairs that differ after Holm's correction for all of them, each with the higher mean first.

    None is a pair that cannot be tested; it counts in the correction.
    """
    adjusted = holm([1.0 if test is None else test.p for test in tests.values()])
    return [
        pair if test.difference > 0 else pair[::-1]
        for (pair, test), p in zip(tests.items(), adjusted, strict=True)
        if test is not None and p < level
    ]


@dataclass(frozen=True)
class Pairwise:
    """All pairs of K configurations, ``first`` before ``second`` (M,); the rest is (..., M).

    ``error`` is the standard error of ``difference``; ``half_width`` that of each 95% interval by
    itself; ``adjusted`` is ``p`` after Holm's correction for the M pairs; ``constant`` says where all
    differences of a pair are equal. There p is 1 if they are 0. Else it is 0 for seeds, which play no part,
    or that of a spread that the steps of the values may hide; for patients, of whom there are others, it is
    that of the sign test, ``2^-freedom``. Where pairs have different numbers of replicates, each has its own
    ``freedom`` (M,).
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    difference: Floats
    error: Floats
    freedom: int | NDArray[np.intp]
    half_width: Floats
    p: Floats
    adjusted: Floats
    constant: NDArray[np.bool_]


def share_step(values: Iterable[float]) -> float:
    """The step that shares of few images come in, 1/200 for 200 images; 0 for what is no such share.

    Values in steps may be equal by chance, and a spread below a step does not show in them.
    """
    images = 1
    for value in values:
        share = Fraction(value).limit_denominator(_MOST_IMAGES)
        images = math.lcm(images, share.denominator)
        if abs(share - Fraction(value)) > _ROUNDING / 2 or images > _MOST_IMAGES or not 0 <= share <= 1:
            return 0.0
    return 1 / (images * math.ceil(_FEWEST_IMAGES / images))


def unseen(step: float) -> float:
    """The standard deviation of a difference of two values that rounding to a step leaves unseen."""
    return step / math.sqrt(6)


def over_seeds(values: Floats, confidence: float = 0.95, step: float = 0.0) -> Pairwise:
    """Would other seeds change it, on these images? Of ``values`` (..., K, R), replicates in one order.

    The paired t test: the mean difference over ``sd / sqrt(R)`` is t(R - 1) (Student, Biometrika 6, 1908).
    Where all differences of a pair are equal, sd is what a ``step`` of the values may hide; see ``Pairwise``.

    Raises:
        ValueError: fewer than two replicates.
    """
    values = np.asarray(values, dtype=np.float64)
    replicates = values.shape[-1]
    if replicates < 2:
        raise ValueError(f"{replicates} replicates: a spread between seeds takes two or more")
    first, second = np.triu_indices(values.shape[-2], 1)
    differences = values[..., first, :] - values[..., second, :]
    error = _sd(differences) / math.sqrt(replicates)
    spread = np.ptp(differences, axis=-1)
    hidden = unseen(step) / math.sqrt(replicates)
    return _pairwise(values, differences.mean(axis=-1), error, spread, replicates - 1, confidence, hidden)


def _sd(values: Floats) -> Floats:
    """The standard deviation (...,) of values (..., R), of any size: squares of 1e200 would be infinite.

    Each row is first brought near to 1 by a power of two, which changes no digit.
    """
    exponent = np.frexp(np.abs(values).max(axis=-1))[1]
    sd: Floats = np.ldexp(np.ldexp(values, -exponent[..., None]).std(axis=-1, ddof=1), exponent)
    return sd


def over_patients(values: Floats, units: PatientGroups, confidence: float = 0.95) -> Pairwise:
    """Would other patients change it, for these models? Of ``values`` (..., K, N), images in one order.

    A configuration's value of an image is its mean over the replicates. The t test of the patients' mean
    difference, a patient's images taken together. With one replicate, one class and one image a patient
    it is the test of McNemar, Psychometrika 12 (1947), its z squared turned into
    ``z^2 (N - 1) / (N - z^2)``; with clusters, that of V. L. Durkalski et al., Stat. Med. 22 (2003).

    Raises:
        ValueError: no more patients than classes.
    """
    values = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(values.shape[-2], 1)
    parts = units.residuals(values)
    differences = parts[..., first, :] - parts[..., second, :]
    error = np.sqrt(variance_over_patients(differences, units))
    means = values.mean(axis=-1)
    difference = means[..., first] - means[..., second]
    spread = np.ptp(differences, axis=-1) * len(units.patient)
    return _pairwise(values, difference, error, spread, units.freedom, confidence)


def _pairwise(
    values: Floats,
    difference: Floats,
    error: Floats,
    spread: Floats,
    freedom: int,
    confidence: float,
    hidden: float | None = None,
) -> Pairwise:
    """``hidden``: the error where all differences are equal; None for the sign test there."""
    first, second = np.triu_indices(values.shape[-2], 1)
    largest = np.abs(values).max(axis=-1)
    rounding = _ROUNDING * np.maximum(largest[..., first], largest[..., second])
    constant = spread <= rounding
    difference = np.where(np.abs(difference) <= rounding, 0.0, difference)
    same = constant & (difference == 0)
    error = np.where(constant, np.where(same, 0.0, hidden or 0.0), error)
    endless = np.where(same, 0.0, np.inf)
    p = 2 * t.sf(np.divide(np.abs(difference), error, out=endless, where=error > 0), freedom)
    if hidden is None:
        p[constant & ~same] = 2.0**-freedom
    half_width = quantile(confidence, freedom) * error
    return Pairwise(first, second, difference, error, freedom, half_width, p, holm(p), constant)


def paired(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, step: float = 0.0
) -> Difference | None:
    """The paired t test of ``mean(a) - mean(b)``, values in the order of the replicates they share.

    None for fewer than two. Where all differences are equal: see ``over_seeds``.
    """
    if len(a) < 2:
        return None
    found = over_seeds(np.array([a, b], dtype=np.float64), confidence, step)
    half_width = float(found.half_width[0]) if found.error[0] else None
    return Difference(float(found.difference[0]), half_width, float(found.p[0]))


def welch(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, step: float = 0.0
) -> Difference | None:
    """Welch's t test of ``mean(a) - mean(b)``, for runs that share nothing; unequal spreads are allowed.

    Degrees of freedom by Welch and Satterthwaite; B. L. Welch, Biometrika 34 (1947). None for fewer than two
    values. Where neither sample shows any spread, seeds play no part, but for what a ``step`` of the values
    may hide.
    """
    sizes = len(a), len(b)
    if min(sizes) < 2:
        return None
    # variances of the two means
    va, vb = (float(statistics.variance(values)) / len(values) for values in (a, b))
    difference = mean(a) - mean(b)
    if math.sqrt(va + vb) <= _ROUNDING * abs(max(*a, *b, key=abs)):
        if abs(difference) <= _ROUNDING * abs(max(*a, *b, key=abs)):
            return Difference(0.0, None, 1.0)
        va, vb = (unseen(step) ** 2 / 2 / size for size in sizes)
    error = math.sqrt(va + vb)
    if error == 0:
        return Difference(difference, None, 0.0)
    # divided by the larger first: the square of a tiny variance would underflow
    ua, ub = va / max(va, vb), vb / max(va, vb)
    freedom = (ua + ub) ** 2 / (ua**2 / (sizes[0] - 1) + ub**2 / (sizes[1] - 1))
    p = 2 * float(t.sf(abs(difference) / error, freedom))
    return Difference(difference, quantile(confidence, freedom) * error, p)


#: Beyond it a difference is found for certain, and scipy gives up.
_FAR = 1e8


def power(difference: ArrayLike, sd: ArrayLike, n: ArrayLike, level: float = 0.05, spent: int = 1) -> Floats:
    """How probably the paired t test of ``n`` differences finds a true one of this size.

    The noncentral t distribution with ``n - spent`` degrees of freedom and noncentrality ``difference / sd *
    sqrt(n)`` (J. Cohen, "Statistical Power Analysis", 1988, chapter 2). Arguments are broadcast; ``sd`` is
    that of one difference, ``level`` two-sided, and ``spent`` the degrees of freedom spent on means.
    """
    n = np.asarray(n, dtype=np.float64)
    freedom = n - spent
    shift = np.abs(difference) / np.asarray(sd, dtype=np.float64) * np.sqrt(n)
    shift = np.minimum(shift, _FAR)
    limit = t.isf(level / 2, freedom)
    wrong_way = np.nan_to_num(nct.sf(limit, freedom, -shift))  # where it is too small for scipy, it is NaN
    return np.asarray(nct.sf(limit, freedom, shift) + wrong_way)


def sample_size(
    difference: ArrayLike,
    sd: ArrayLike,
    level: float = 0.05,
    wanted: float = 0.8,
    most: int = 1000,
    spent: int = 1,
) -> NDArray[np.int64]:
    """The ``n`` at which ``power`` is ``wanted``; -1 for more than ``most``."""
    difference, sd = np.broadcast_arrays(np.abs(difference), np.asarray(sd, dtype=np.float64))
    low = np.full(difference.shape, spent + 1)
    high = np.full(difference.shape, max(most, spent + 1))
    enough = power(difference, sd, high, level, spent) >= wanted
    while (low < high).any():
        middle = (low + high) // 2
        reached = power(difference, sd, middle, level, spent) >= wanted
        high, low = np.where(reached, middle, high), np.where(reached, low, np.minimum(middle + 1, high))
    return np.asarray(np.where(enough, low, -1), dtype=np.int64)
