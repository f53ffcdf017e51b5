"""Which epoch of a replicate counts, and which of two results is better: each rule once, for all who ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tune_app.space import Metric

#: A value larger than this, or not finite, counts as diverged: sums and differences of it need not be finite.
LARGEST = 1e100

#: Epoch, metrics and seconds of one epoch of one replicate; a metric is None where it was not reported.
Row = tuple[int, dict[str, float | None], float]


def usable(value: float | None) -> bool:
    """Whether a metric can be compared and averaged: it is there, finite, and at most ``LARGEST``."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST


def improved_value(
    found: Mapping[str, float | None], keep: tuple[str, int], best: float | None
) -> float | None:
    """The value of an epoch, times the sign, if it is better than ``best``; else None.

    The first of several epochs that are alike stays the best. An epoch without the metric never counts.

    Args:
        found: the metrics of the epoch.
        keep: name of the metric, and +1 where more is better or -1 where less is.
        best: what an earlier call returned last, None before the first.
    """
    name, sign = keep
    value = found.get(name)
    if value is None or not math.isfinite(value):
        return None
    return sign * value if best is None or sign * value > best else None


def evaluated_epoch(rows: Sequence[Row], metric: Metric, evaluate: str) -> Row | None:
    """The epoch of a replicate that stands in the results: the last, or the best by ``metric``.

    None where there is no epoch, or, for ``best``, none with the metric.
    """
    if evaluate == "last":
        return rows[-1] if rows else None
    chosen, best = None, None
    for row in rows:
        value = improved_value(row[1], (metric.name, metric.sign), best)
        if value is not None:
            chosen, best = row, value
    return chosen


def rank_key(metric: Metric, mean: float, number: int) -> tuple[float, int]:
    """A key that sorts the best first; of equal means the lowest number, whichever finished first."""
    return -metric.sign * mean, number
