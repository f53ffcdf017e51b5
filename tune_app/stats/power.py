"""Power of the paired t test, and the sample size for a given power."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nct, t

Floats = NDArray[np.float64]

#: Beyond it a difference is found for certain, and scipy gives up.
_FAR = 1e8


def power(difference: ArrayLike, sd: ArrayLike, n: ArrayLike, level: float = 0.05, spent: int = 1) -> Floats:
    """How probably the paired t test of ``n`` differences finds a true one of this size.

    The noncentral t distribution with ``n - spent`` degrees of freedom and noncentrality ``difference / sd *
    sqrt(n)`` (J. Cohen, "Statistical Power Analysis", 1988, chapter 2). Arguments are broadcast.

    Args:
        difference: the true mean difference; its sign does not count.
        sd: standard deviation of one difference, above 0.
        n: number of differences, above ``spent``.
        level: two-sided level of the test.
        spent: degrees of freedom spent on means.
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
