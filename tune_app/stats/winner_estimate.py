"""What to expect of the configuration that was chosen for the highest mean, on new seeds.

Its own mean is too high, because it was chosen for being high: by 0.3 to 0.9 standard deviations of one seed
where all are equal. So some seeds choose, and the seeds that were left out measure what was chosen.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tune_app.stats.intervals import quantile

Floats = NDArray[np.float64]

#: Up to this many seeds, one at a time is left out; of more, this share.
_FEW, _SHARE = 6, 0.3

#: At most this many ways to leave seeds out; with more ways, this many random ones.
_SPLITS = 60

#: How much the interval widens where the choice changes with the seeds; found by simulation.
_UNSTABLE = 2

#: With fewer seeds, two at most would choose.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class WinnerEstimate:
    """The mean to expect of the winner on new seeds, and the half-width of its interval."""

    mean: float
    half_width: float


def expected(values: Floats, confidence: float = 0.95) -> WinnerEstimate | None:
    """The winner's estimate from ``values`` (K, n), larger is better, replicates in one order.

    d seeds are left out: 1 of up to 6, else 0.3 n. ``c`` is the mean, over all splits, of what the seeds left
    out give to the configuration that the others choose. With the winner's mean m, its interval is
    ``c ± sqrt(t(n - 1)^2 sd^2 / n + 2 (m - c)^2)``: if every split chooses the same, the ordinary one.

    None for fewer than 3 seeds, or no configuration.
    """
    values = np.asarray(values, dtype=np.float64)
    count, seeds = values.shape
    if seeds < FEWEST_SEEDS or count == 0:
        return None
    left_out = _splits(seeds)  # (S, n), 1 where a seed is left out
    kept_means = (1 - left_out) @ values.T
    chosen = kept_means.argmax(axis=1)
    measured = (left_out @ values.T)[np.arange(len(chosen)), chosen] / left_out[0].sum()
    center = float(measured.mean())
    means = values.mean(axis=1)
    winner = int(means.argmax())
    spread = float(values[winner].std(ddof=1)) * quantile(confidence, seeds - 1) / math.sqrt(seeds)
    return WinnerEstimate(center, math.hypot(spread, math.sqrt(_UNSTABLE) * (float(means[winner]) - center)))


@lru_cache(maxsize=8)
def _splits(seeds: int) -> Floats:
    number = 1 if seeds <= _FEW else round(_SHARE * seeds)
    if math.comb(seeds, number) <= _SPLITS:
        chosen = list(itertools.combinations(range(seeds), number))
    else:
        rng = np.random.default_rng(0)
        chosen = [tuple(rng.permutation(seeds)[:number]) for _ in range(_SPLITS)]
    splits = np.zeros((len(chosen), seeds))
    for row, seeds_out in zip(splits, chosen, strict=True):
        row[list(seeds_out)] = 1
    return splits
