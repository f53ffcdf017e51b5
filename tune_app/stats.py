"""Intervals and tests over seeds: what a handful of runs can say, and what they cannot.

Means and standard deviations come from :mod:`statistics`, whose sums are exact: equal values have a
spread of exactly 0, never one of rounding errors that a test could take for a signal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, norm, t


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values and the half-width of its confidence interval, in the values' unit.

    ``half_width`` and ``sd`` are None where fewer than two values leave nothing to estimate them from,
    ``mean`` where there is no value at all.
    """

    mean: float | None
    half_width: float | None
    n: int
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of two means, its interval's half-width, and the two-sided p-value of no difference."""

    difference: float
    half_width: float
    p: float


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with its t interval: ``t(n - 1) * sd / sqrt(n)``, sd with n - 1 in the denominator.

    Student, "The probable error of a mean", Biometrika 6 (1908).

    Raises:
        ValueError: a value is not finite, or ``confidence`` does not lie between 0 and 1.
    """
    n = _checked(values, confidence)
    if n == 0:
        return Interval(None, None, 0, None)
    mean = float(statistics.mean(values))
    if n == 1:
        return Interval(mean, None, 1, None)
    sd = float(statistics.stdev(values))
    return Interval(mean, _quantile(confidence, n - 1) * sd / math.sqrt(n), n, sd)


def prediction_interval_of_one_run(
    values: Sequence[float], images: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The range that the accuracy of one further run would show on ``images`` test images of its own.

    ``mean ± sqrt(t(n - 1)^2 sd^2 (1 + 1/n) + z^2 p (1 - p) / images)`` with p the mean, cut to 0 to 1: the
    prediction interval of one new value of a normal sample (Hahn and Meeker, "Statistical Intervals",
    1991, section 4.7), widened by the binomial error of the new run's test images. Half-widths add as
    squares, each with its own quantile: t where the spread is estimated, z where it follows from p.

    Nothing is counted twice: all of ``values`` are accuracies on the same test images, so sd holds the
    spread between seeds and none of the spread between samples of images. Simulated coverage at 95% is 95
    to 98% of single runs for n of 3 and more; one t quantile for both parts would make it 99.9% at n = 3.

    Args:
        values: accuracies of runs, as fractions.
        images: test images behind one accuracy, 1 or more.
        confidence: share of new runs that the range is to hold.

    Returns:
        The two ends as fractions, or None for fewer than two values, which show no spread.

    Raises:
        ValueError: a value is no fraction, or ``images`` or ``confidence`` is out of its range.
    """
    n = _checked(values, confidence)
    if images < 1:
        raise ValueError(f"images is {images}: an accuracy needs 1 test image or more")
    if any(not 0 <= value <= 1 for value in values):
        raise ValueError(f"accuracies must be fractions from 0 to 1: {list(values)}")
    if n < 2:
        return None
    mean = float(statistics.mean(values))
    between_seeds = _quantile(confidence, n - 1) ** 2 * float(statistics.variance(values)) * (1 + 1 / n)
    of_images = float(norm.ppf((1 + confidence) / 2)) ** 2 * mean * (1 - mean) / images
    reach = math.sqrt(between_seeds + of_images)
    return max(0.0, mean - reach), min(1.0, mean + reach)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share, ``successes`` of ``n``: of one accuracy over its n images.

    E. B. Wilson, "Probable inference", J. Am. Stat. Assoc. 22 (1927); it stays within 0 to 1.

    Raises:
        ValueError: not ``0 <= successes <= n``, or n is 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n}: a share needs 0 <= successes <= n and n of 1 or more")
    ends = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(ends.low), float(ends.high)


def welch(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Difference | None:
    """Welch's t test of ``mean(a) - mean(b)``, which lets the two have unequal spreads.

    Degrees of freedom by Welch and Satterthwaite; B. L. Welch, Biometrika 34 (1947). Where neither
    sample shows any spread there is nothing to judge a difference by: None, as for fewer than two values.

    Raises:
        ValueError: a value is not finite, or ``confidence`` does not lie between 0 and 1.
    """
    sizes = _checked(a, confidence), _checked(b, confidence)
    if min(sizes) < 2:
        return None
    # variances of the two means
    va, vb = (float(statistics.variance(values)) / len(values) for values in (a, b))
    error = math.sqrt(va + vb)
    if error == 0:
        return None
    # divided by the larger first: the square of a tiny variance would underflow
    ua, ub = va / max(va, vb), vb / max(va, vb)
    freedom = (ua + ub) ** 2 / (ua**2 / (sizes[0] - 1) + ub**2 / (sizes[1] - 1))
    difference = float(statistics.mean(a)) - float(statistics.mean(b))
    p = 2 * float(t.sf(abs(difference) / error, freedom))
    return Difference(difference, _quantile(confidence, freedom) * error, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given: a family's false alarms stay below the level.

    Sorted upwards, the i-th of m is multiplied by m - i + 1 and never falls below an earlier one;
    S. Holm, Scand. J. Stat. 6 (1979).
    """
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def _checked(values: Sequence[float], confidence: float) -> int:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: it must lie between 0 and 1, as 0.95 does")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"every value must be finite: {list(values)}")
    return len(values)


def _quantile(confidence: float, freedom: float) -> float:
    return float(t.ppf((1 + confidence) / 2, freedom))
