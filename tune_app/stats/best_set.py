"""Which of several configurations may be the best: a set that holds the best one with 95% confidence.

Multiple comparisons with the best (J. C. Hsu, Ann. Stat. 12, 1984), by a rotation test of "this one is the
best" (Ø. Langsrud, Stat. Comput. 15, 2005; limma's ``roast``, D. Wu et al., Bioinformatics 26, 2010). For
normal values one step of the test is exact, whatever the covariance of the configurations: random
rotations of the differences keep it. So the correction for many comparisons comes from the data.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tune_app.stats.patients import PatientGroups

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

#: A candidate leaves the set at this p: of three or more, and of two. Both were found by simulation. Leaving
#: step by step adds up to 0.6 points of error to those of one step, and of two equal ones either can leave.
_LEVEL, _LEVEL_OF_TWO = 0.04, 0.025

#: Prior degrees of freedom in the weight of a difference (G. K. Smyth, Stat. Appl. Genet. 3, 2004).
_PRIOR = 2

#: The standard deviation that rounding hides, as a share of the step: half of 1 / sqrt(12).
_UNSEEN = 0.144

#: Random directions, each used both ways; fewer for more than 40 configurations.
_DIRECTIONS, _FEWEST_DIRECTIONS, _MANY = 10_000, 1_000, 40

#: Directions at a time; a statistic this close to the observed one counts as equal.
_PORTION, _EQUAL = 1_000, 1 - 1e-5


def over_seeds(values: Floats, step: float = 0.0, spent: float = 1.0) -> Members:
    """Which configurations may be the best (K,), if other seeds were trained.

    A given best configuration is among them in 95% of sweeps. For a candidate i with differences
    ``d_j = y_j - y_i``, the statistic is ``max_j mean(d_j) / w_j``, where ``w_j^2`` is
    ``(d0 median_j(Q_j) + n Q_j) / (d0 + n)`` and ``Q_j = mean(d_j^2)``. It is compared with the same
    statistic in random directions. Candidates with a small p leave, and the rest are tested again.

    Args:
        values: (K, n), where larger is better; replicates in one order.
        step: the step between values of a share of few images; 0 for other values.
        spent: the share of the error probability that is spent here: one of several looks, `stats.looks`.

    Raises:
        ValueError: fewer than two replicates, or a value that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    replicates = values.shape[1]
    if replicates < 2:
        raise ValueError(f"{replicates} replicates: a spread between seeds takes two or more")
    means = values.mean(axis=1)
    residuals = values - means[:, None]
    return _members(math.sqrt(replicates) * means, residuals, replicates - 1, _UNSEEN * step, spent)


def over_patients(values: Floats, units: PatientGroups) -> Members:
    """Which configurations may be the best (K,), if other patients were tested, for these trained models.

    Args:
        values: (K, N), the outcome of each configuration on each image, where larger is better.
        units: the patients and classes of the N images.

    Raises:
        ValueError: no more patients than classes, or a value that is not finite.
    """
    if units.freedom < 1:
        raise ValueError(f"{units.count} patients: their spread takes more patients than classes")
    residuals = math.sqrt(units.count) * units.residuals(values)
    return _members(np.asarray(values).mean(axis=1), residuals, units.freedom, 0.0)


def _members(observed: Floats, residuals: Floats, freedom: int, unseen: float, spent: float = 1.0) -> Members:
    """``observed`` (K,) has the variance that ``residuals`` (K, J) estimate with ``freedom``."""
    rows, copies = np.unique(np.column_stack([observed, residuals]), axis=0, return_inverse=True)
    if not np.isfinite(rows).all():
        raise ValueError("every value must be finite")
    rows = rows - rows.mean(axis=0)
    scale = float(np.abs(rows).max()) or 1.0
    rows /= scale  # squares of any values are finite then
    left, lengths, _ = np.linalg.svd(rows[:, 1:], full_matrices=False)
    rank = min(freedom, len(lengths))
    basis = np.column_stack([rows[:, 0], left[:, :rank] * lengths[:rank]])
    directions, normal = _random(len(rows), rank + 1, freedom - rank)
    rotated = basis @ directions + unseen / scale * normal
    inside = np.arange(len(rows))
    while len(inside) > 1:
        level = spent * (_LEVEL if len(inside) > 2 else _LEVEL_OF_TWO)
        leave = _leaving(basis[inside], rotated[inside], freedom + 1, level)
        leave[basis[inside, 0].argmax()] = False
        if not leave.any():
            break
        inside = inside[~leave]
    return np.isin(copies.ravel(), inside)


@lru_cache(maxsize=64)
def _random(count: int, shown: int, hidden: int) -> tuple[Floats, Floats]:
    """B unit vectors of ``shown + hidden`` dimensions, the shown ones (shown, B), and normals (count, B)."""
    number = max(_FEWEST_DIRECTIONS, min(_DIRECTIONS, _DIRECTIONS * _MANY**2 // count**2))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((shown, number))
    rest = rng.chisquare(hidden, number) if hidden else 0.0
    return vectors / np.sqrt((vectors**2).sum(axis=0) + rest), rng.standard_normal((count, number))


def _leaving(basis: Floats, rotated: Floats, n: int, level: float) -> Members:
    return np.array([_no_best(i, basis, rotated, n, level) for i in range(len(basis))])


def _no_best(i: int, basis: Floats, rotated: Floats, n: int, level: float) -> bool:
    """Whether p of "candidate i is the best" is at most ``level``; ends when p is surely above it."""
    others = np.arange(len(basis)) != i
    differences = basis[others] - basis[i]
    second = (differences**2).sum(axis=1) / n
    weight = np.sqrt((_PRIOR * np.median(second) + n * second) / (_PRIOR + n))
    weight = np.maximum(weight, np.finfo(np.float64).tiny)
    statistic = float((differences[:, 0] / weight).max()) * _EQUAL
    number = rotated.shape[1]
    allowed = level * (2 * number + 1) - 1
    reached = 0
    for start in range(0, number, _PORTION):
        portion = rotated[:, start : start + _PORTION]
        found = (portion[others] - portion[i]) / weight[:, None]
        reached += int((found.max(axis=0) >= statistic).sum() + (-found.min(axis=0) >= statistic).sum())
        if reached > allowed:
            return False
    return True
