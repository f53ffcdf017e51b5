"""Are two configurations equal enough? Two one-sided paired t tests show a difference below a margin.

A difference that is not significant shows nothing: few seeds never find one. Here the question is turned
around: "they differ by the margin or more" has to be rejected (D. J. Schuirmann, J. Pharmacokinet.
Biopharm. 15, 1987).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from tune_app.stats import paired_tests

Floats = NDArray[np.float64]

#: A difference that exceeds the margin by this share of it does so by rounding.
_ROUNDING = 1e-9


def p_values(values: Floats, margin: float, step: float = 0.0) -> Floats:
    """The p-values (K, K) of "their means differ by ``margin`` or more", 0 on the diagonal.

    For the mean difference d of a pair, with standard error s, ``p = P(t(n - 1) > (margin - |d|) / s)``:
    the larger p of two one-sided tests. At ``p <= a`` both confidence bounds of level ``1 - a`` lie within
    the margin. That all pairs of a set are within it needs no correction for several tests: each has to be
    shown (R. L. Berger, Technometrics 24, 1982).

    Args:
        values: (K, n), replicates in one order, n at least 2.
        margin: above 0, in the unit of the values.
        step: the step between values of a share of few images; 0 for other values. Where all differences
            of a pair are equal, the step may hide a spread.

    Raises:
        ValueError: fewer than two replicates.
    """
    pairs = paired_tests.over_seeds(values, step=step)
    room = margin * (1 + _ROUNDING) - np.abs(pairs.difference)
    hidden = paired_tests.unseen(step) / math.sqrt(values.shape[-1])
    error = np.where(pairs.constant, hidden, pairs.error)
    certain = np.where(room >= 0, np.inf, -np.inf)
    quotient = np.divide(room, error, out=certain, where=error > 0)
    found = np.zeros((len(values), len(values)))
    found[pairs.first, pairs.second] = found[pairs.second, pairs.first] = t.sf(quotient, pairs.freedom)
    return found
