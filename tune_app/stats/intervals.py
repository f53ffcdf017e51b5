"""Intervals of one figure: of a mean over seeds, of one further run, of one share of images.

Means and standard deviations are exact, rounded once: equal values have a spread of exactly 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.stats import binomtest, norm, t

from tune_app.stats.arithmetic import mean


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values and the half-width of its confidence interval, in the values' unit.

    ``half_width`` is None for fewer than two values, ``mean`` for none at all.
    """

    mean: float | None
    half_width: float | None
    n: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with its t interval: ``t(n - 1) * sd / sqrt(n)`` (Student, Biometrika 6, 1908)."""
    n = len(values)
    if n == 0:
        return Interval(None, None, 0)
    middle = mean(values)
    if n == 1:
        return Interval(middle, None, 1)
    sd = float(statistics.stdev(values))
    return Interval(middle, quantile(confidence, n - 1) * sd / math.sqrt(n), n)


def prediction_interval_of_one_run(
    values: Sequence[float], images: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The range that the accuracy of one further run would show on ``images`` test images of its own.

    ``mean ± sqrt(t(n - 1)^2 sd^2 (1 + 1/n) + z^2 p (1 - p) / images)`` with p the mean, cut to 0 to 1: the
    prediction interval of one new value of a normal sample (Hahn and Meeker, "Statistical Intervals",
    1991, section 4.7), widened by the binomial error of the new run's test images. All of ``values`` are
    on the same test images, so that nothing is counted twice.

    ``values`` are fractions; None for fewer than two, which show no spread.
    """
    n = len(values)
    if n < 2:
        return None
    middle = mean(values)
    between_seeds = quantile(confidence, n - 1) ** 2 * float(statistics.variance(values)) * (1 + 1 / n)
    of_images = float(norm.ppf((1 + confidence) / 2)) ** 2 * middle * (1 - middle) / images
    reach = math.sqrt(between_seeds + of_images)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share, ``successes`` of ``n`` (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    ends = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(ends.low), float(ends.high)


@lru_cache
def quantile(confidence: float, freedom: float) -> float:
    """Student's t that a share ``confidence`` of draws stays within, both ways."""
    return float(t.ppf((1 + confidence) / 2, freedom))
