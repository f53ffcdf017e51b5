"""Which epoch of a replicate counts, and which of two results is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tune_app.space import Metric

#: A larger value counts as diverged, because sums and differences of such values may not be finite.
LARGEST = 1e100

#: Epoch, metrics and seconds of one epoch of one replicate; a metric is None where it was not reported.
EpochRow = tuple[int, dict[str, float | None], float]


def usable(value: float | None) -> bool:
    """Whether a metric can be compared and averaged: it exists, is finite, and is at most ``LARGEST``."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST


def improved_value(
    found: Mapping[str, float | None], keep: tuple[str, int], best: float | None
) -> float | None:
    """The value of an epoch, times the sign in ``keep``, if it is better than ``best``; else None.

    ``best`` is the newest value that an earlier call returned. Of equal epochs the first stays the best. An
    epoch without the metric does not count.
    """
    name, sign = keep
    value = found.get(name)
    if value is None or not math.isfinite(value):
        return None
    return sign * value if best is None or sign * value > best else None


def evaluated_epoch(rows: Sequence[EpochRow], metric: Metric, evaluate: str) -> EpochRow | None:
    """The epoch of a replicate that counts in the results, if any: the last, or the best by ``metric``."""
    if evaluate == "last":
        return rows[-1] if rows else None
    chosen, best = None, None
    for row in rows:
        value = improved_value(row[1], (metric.name, metric.sign), best)
        if value is not None:
            chosen, best = row, value
    return chosen


def rank_key(metric: Metric, mean: float, number: int) -> tuple[float, int]:
    """A sort key for best first; equal means are sorted by number."""
    return -metric.sign * mean, number
