"""Rungs at which configurations wait: who trains on from there, by the values that came there.

Each rule depends only on the values that came to its rungs and the promotions that followed, in their order.
More is better; a diverged or failed configuration comes to a rung with None.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Promotion(NamedTuple):
    """A configuration that trains on, and the rung at which it waited."""

    sample: int
    rung: int


def best_of(values: Mapping[int, Sequence[float] | None], wanted: int, ties: float = 0.0) -> list[int]:
    """The ``wanted`` best samples by their mean over the seeds, best first; of equal ones the first sample.

    With ``ties``, those whose difference to the last of them is at most that many paired standard errors
    follow.
    """
    usable = {sample: each for sample, each in values.items() if each is not None}
    ranked = sorted(usable, key=lambda sample: (-statistics.fmean(usable[sample]), sample))
    found = ranked[: max(wanted, 0)]
    if not found or not ties:
        return found
    last = usable[found[-1]]
    return found + [sample for sample in ranked[len(found) :] if _tied(last, usable[sample], ties)]


def _tied(better: Sequence[float], worse: Sequence[float], ties: float) -> bool:
    """Compares squares, for the standard error is the root of a sum of squares."""
    differences = [one - other for one, other in zip(better, worse, strict=False)]
    seeds, mean = len(differences), statistics.fmean(differences)
    squares = sum((each - mean) ** 2 for each in differences)
    return seeds > 1 and mean**2 * seeds * (seeds - 1) <= ties**2 * squares


def stages(size: int, rungs: Sequence[int], factor: float) -> list[int]:
    """How many of ``size`` configurations train on from each rung of `SynchronousHalving`, without ties."""
    found = [size]
    for _ in rungs:
        found.append(math.ceil(found[-1] / factor))
    return found[1:]


class SynchronousHalving:
    """Successive halving (Jamieson and Talwalkar, AISTATS 2016): a rung decides when all have come to it.

    Of n configurations at a rung, the best ``n / factor``, rounded up, train on, and with ``ties`` those that
    are tied with the last of them; the others are stopped. A configuration that is among the best whatever
    the missing ones bring is kept before the rung is full.
    """

    def __init__(self, size: int, rungs: Sequence[int], factor: float, ties: float = 0.0) -> None:
        self._first, self._rungs, self._factor, self._ties = size, rungs, factor, ties
        self._values: dict[int, dict[int, Sequence[float] | None]] = {rung: {} for rung in rungs}
        self._kept: dict[int, list[int]] = {}

    def reach(self, sample: int, rung: int, values: Sequence[float] | None) -> None:
        """Add the values of a configuration that has come to a rung, one for each seed."""
        if self._values[rung].get(sample, ()) != values:
            self._values[rung][sample] = values
            self._kept.clear()

    def kept(self, rung: int) -> list[int]:
        """Those of which it is certain that they train on from a rung, best first."""
        if rung not in self._kept:
            came, size = self._came(rung), self._size(rung)
            wanted = math.ceil(size / self._factor) - (size - len(came))
            self._kept[rung] = best_of(came, wanted, self._ties if len(came) == size else 0.0)
        return self._kept[rung]

    def full(self, rung: int) -> bool:
        """Whether all have come to a rung that come there, so that it decides on each of them."""
        before = self._before(rung)
        return (before is None or self.full(before)) and len(self._came(rung)) == self._size(rung)

    def _came(self, rung: int) -> dict[int, Sequence[float] | None]:
        before, values = self._before(rung), self._values[rung]
        return (
            values if before is None else {each: values[each] for each in self.kept(before) if each in values}
        )

    def _size(self, rung: int) -> int:
        """How many come to a rung: the most there can be, as long as the one before it is not full."""
        before = self._before(rung)
        if before is None:
            return self._first
        if self.full(before):
            return len(self.kept(before))
        return self._size(before) if self._ties else math.ceil(self._size(before) / self._factor)

    def _before(self, rung: int) -> int | None:
        place = self._rungs.index(rung)
        return self._rungs[place - 1] if place else None


class PromotionAsha:
    """Asynchronous successive halving, its promotion variant (Li et al., MLSys 2020).

    Whenever a trial may start, the best configuration of the highest rung that is among the best
    ``1 / factor`` there trains on. With ``delay`` a rung promotes only as many as ``1 / factor`` of those
    that have come to it, as D-ASHA does (Li et al., Hyper-Tune, VLDB 2022).
    """

    def __init__(self, rungs: Sequence[int], factor: float, delay: bool = True) -> None:
        self._factor, self._delay = factor, delay
        self._values: dict[int, dict[int, Sequence[float] | None]] = {rung: {} for rung in rungs}
        self._promoted: dict[int, set[int]] = {rung: set() for rung in rungs}

    def reach(self, sample: int, rung: int, values: Sequence[float] | None) -> None:
        """Add the values of a configuration that has come to a rung, one for each seed."""
        self._values[rung][sample] = values

    def promote(self, promotion: Promotion) -> None:
        """Add a promotion that has taken place."""
        self._promoted[promotion.rung].add(promotion.sample)

    def next_promotion(self, last: bool = False) -> Promotion | None:
        """Who trains on next; None if all wait.

        ``last`` says that nothing is training and nothing will start: then the best of the highest rung
        trains on if nobody has come past it, so that a search finishes at least one configuration.
        """
        for rung in reversed(self._values):
            came, promoted = self._values[rung], self._promoted[rung]
            wanted = int(len(came) / self._factor)
            if self._delay and len(promoted) >= wanted:
                continue
            for sample in best_of(came, wanted):
                if sample not in promoted:
                    return Promotion(sample, rung)
        highest = max((rung for rung, came in self._values.items() if best_of(came, 1)), default=None)
        if last and highest is not None and not self._promoted[highest]:
            return Promotion(best_of(self._values[highest], 1)[0], highest)
        return None
