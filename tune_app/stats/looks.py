"""Verdicts that follow one another while seeds are added: how the error probability is spent on them.

Whoever adds seeds until a difference is significant finds one in the end: with nothing to find, in 13% of
sweeps after four looks. So each look spends a share of the error, and all looks together keep it (Lan and
DeMets, Biometrika 70, 1983, by the union bound): what was found at one look stays found at the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tune_app.stats import best_set, paired_tests
from tune_app.stats.multiple_testing import holm
from tune_app.stats.paired_tests import Pairwise

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

#: What all further looks of an unplanned series spend together, beyond the first, which spends 1.
_FURTHER = 0.25


@dataclass(frozen=True)
class Look:
    """A verdict on the first ``replicates`` of each configuration, which spends ``share`` of the error."""

    replicates: int
    share: float = 1.0


def unplanned_share(number: int) -> float:
    """What look ``number``, from 1 on, spends if nobody knows how many follow: 1, then ``1 / (4 k (k - 1))``.

    Nearly all is spent at the first look, which most sweeps end with.
    """
    return 1.0 if number == 1 else _FURTHER / (number * (number - 1))


def planned_share(looks: int) -> float:
    """What each look of a planned series of ``looks`` spends; together they spend 1."""
    return 1 / looks


def members(values: Floats, looks: Sequence[Look], step: float = 0.0) -> Members:
    """Which configurations may be the best (K,) after several looks: who left at one look stays out.

    Args:
        values: (K, R), where larger is better, replicates in one order; NaN where one was not trained. Each
            look is at the replicates that all have which are still in.
        looks: in their order.
        step: as in `best_set.over_seeds`.
    """
    inside = np.ones(len(values), dtype=bool)
    for look in looks:
        known = values[inside, : look.replicates]
        shared = known[:, np.isfinite(known).all(axis=0)]
        if inside.sum() > 1 and shared.shape[1] > 1:
            inside[inside] = best_set.over_seeds(shared, step, look.share)
    return inside


def pairs(values: Floats, looks: Sequence[Look], confidence: float = 0.95, step: float = 0.0) -> Pairwise:
    """The paired t tests of all pairs at the last look; ``adjusted`` is corrected for several looks too.

    At each look, p after Holm's correction is divided by the share that the look spends. The smallest of all
    looks counts: a difference that was significant stays so, unless the means have changed sides since.

    Args:
        values: as in `members`; each pair has two shared replicates or more.
        looks: in their order.
        confidence: of ``half_width``.
        step: as in `paired_tests.over_seeds`.
    """
    found = _pairs(values, confidence, step)
    adjusted = np.ones_like(found.p)
    for look in looks:
        known = values[:, : look.replicates]
        if np.isfinite(known).all(axis=0).sum() > 1:
            then = _pairs(known, confidence, step)
            same_side = then.difference * found.difference >= 0
            adjusted = np.where(same_side, np.minimum(adjusted, then.adjusted / look.share), adjusted)
    return replace(found, adjusted=adjusted)


def _pairs(values: Floats, confidence: float, step: float) -> Pairwise:
    """Each pair over the replicates that both have, as far as those with more have all that others have."""
    counts = np.isfinite(values).sum(axis=1)
    found = _shared_pairs(values, confidence, step)
    found = replace(found, freedom=np.full(len(found.p), found.freedom))
    for count in np.unique(counts)[1:]:
        among = np.flatnonzero(counts >= count)
        tested = _shared_pairs(values[among], confidence, step)
        both = np.isin(found.first, among) & np.isin(found.second, among)
        for name in ("difference", "error", "freedom", "half_width", "p", "constant"):
            getattr(found, name)[both] = getattr(tested, name)
    return replace(found, adjusted=holm(found.p))


def _shared_pairs(values: Floats, confidence: float, step: float) -> Pairwise:
    return paired_tests.over_seeds(values[:, np.isfinite(values).all(axis=0)], confidence, step)
