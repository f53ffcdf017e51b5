"""Rungs at which configurations wait: who trains on from there, by the values that came there.

Each rule depends only on the values that came to its rungs and the promotions that followed, in their order.
More is better; a diverged or failed configuration comes to a rung with None.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


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


class RungRule(Protocol):
    """Which of the configurations that come to a rung train on from there."""

    def reach(self, sample: int, rung: int, values: Sequence[float] | None) -> None:
        """Add the values of a configuration that has come to a rung, one for each seed."""

    def promote(self, promotion: Promotion) -> None:
        """Add a promotion that has taken place."""

    def kept(self, rung: int) -> list[int]:
        """Those that train on from a rung, best first, as far as that is decided."""

    def full(self, rung: int) -> bool:
        """Whether a rung has decided on each that came there, so that it stops those that are not kept."""


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
        """See RungRule."""
        if self._values[rung].get(sample, ()) != values:
            self._values[rung][sample] = values
            self._kept.clear()

    def promote(self, promotion: Promotion) -> None:
        """See RungRule: the values decide, whoever has been promoted."""

    def kept(self, rung: int) -> list[int]:
        """See RungRule: those of which it is certain."""
        if rung not in self._kept:
            came, size = self._came(rung), self._size(rung)
            wanted = math.ceil(size / self._factor) - (size - len(came))
            self._kept[rung] = best_of(came, wanted, self._ties if len(came) == size else 0.0)
        return self._kept[rung]

    def full(self, rung: int) -> bool:
        """See RungRule: when all have come that come there."""
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

    The best ``1 / factor`` of those that have come to a rung, rounded down, train on. With ``delay`` a rung
    promotes only as many as that of those that have come to it, as D-ASHA does (Li et al., Hyper-Tune, VLDB
    2022).
    """

    def __init__(self, rungs: Sequence[int], factor: float, delay: bool = True) -> None:
        self._factor, self._delay = factor, delay
        self._values: dict[int, dict[int, Sequence[float] | None]] = {rung: {} for rung in rungs}
        self._promoted: dict[int, set[int]] = {rung: set() for rung in rungs}
        #: Whether nothing more will come, so that those that wait are stopped.
        self.closed = False

    def reach(self, sample: int, rung: int, values: Sequence[float] | None) -> None:
        """See RungRule."""
        self._values[rung][sample] = values

    def promote(self, promotion: Promotion) -> None:
        """See RungRule."""
        self._promoted[promotion.rung].add(promotion.sample)

    def kept(self, rung: int) -> list[int]:
        """See RungRule."""
        came, promoted = self._values[rung], self._promoted[rung]
        wanted = int(len(came) / self._factor)
        new = [sample for sample in best_of(came, wanted) if sample not in promoted]
        new = new[: max(wanted - len(promoted), 0)] if self._delay else new
        return best_of({each: came.get(each) for each in (*promoted, *new)}, len(came))

    def full(self, rung: int) -> bool:
        """See RungRule: when nothing more will come."""
        return self.closed

    def last(self) -> Promotion | None:
        """Who trains on if nothing more will come and nobody has finished: the best of the highest rung."""
        for rung, came in reversed(self._values.items()):
            for sample in best_of(came, len(came)):
                if sample not in self._promoted[rung]:
                    return Promotion(sample, rung)
        return None
