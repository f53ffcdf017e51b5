"""A search over a deep record, replayed under a rule in simulated time, and what its choice costs."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.simulate import Floats, generator
from benchmarks.stopping.records import Deep

DRAWS, SEEN, SLOTS = 200, 3, 4
#: Every rule chooses by the mean of so many last epochs.
WINDOW = 5


class Played(NamedTuple):
    """The configurations that a search trained to their end, and the epochs of all."""

    finished: Sequence[int]
    epochs: int


class Rule(Protocol):
    """A scheduler: who trains next, and who keeps its slot. It is asked at its ``milestones`` alone."""

    milestones: Sequence[int]

    def next(self) -> int | None:
        """The configuration that a free slot trains, a new one or one that waits; None for nobody yet."""

    def goes_on(self, sample: int, epoch: int) -> bool:
        """Whether a configuration that has trained that many epochs keeps its slot."""


class Stopping:
    """A rule that stops: ``judge`` tells whether a configuration goes on; each keeps its slot until then."""

    def __init__(
        self, order: Sequence[int], milestones: Sequence[int], judge: Callable[[int, int], bool]
    ) -> None:
        self.milestones = milestones
        self._waiting, self._judge = iter(order), judge

    def next(self) -> int | None:
        """See Rule."""
        found: int | None = next(self._waiting, None)
        return found

    def goes_on(self, sample: int, epoch: int) -> bool:
        """See Rule."""
        return self._judge(sample, epoch)


def replay(rule: Rule, epochs: int, slots: int = SLOTS) -> Played:
    """Train in ``slots`` slots, every epoch taking the same time, until nobody is left to train."""
    milestones = [*(each for each in rule.milestones if each < epochs), epochs]
    trained, finished = dict[int, int](), list[int]()
    running: list[tuple[int, int, int]] = []  # when it comes to its milestone; its turn; the sample
    turn = now = 0

    def advance(sample: int) -> None:
        nonlocal turn
        before = trained.get(sample, 0)
        trained[sample] = next(each for each in milestones if each > before)
        turn += 1
        heapq.heappush(running, (now + trained[sample] - before, turn, sample))

    while True:
        while len(running) < slots and (sample := rule.next()) is not None:
            advance(sample)
        if not running:
            return Played(finished, sum(trained.values()))
        now, _, sample = heapq.heappop(running)
        goes_on = rule.goes_on(sample, trained[sample])
        if trained[sample] == epochs:
            finished.append(sample)
        elif goes_on:
            advance(sample)


@dataclass(frozen=True)
class Search:
    """One search: the seeds that it saw, the order of its configurations, and the truth it did not see."""

    number: int
    deep: Deep
    seen: Sequence[int]
    unseen: Sequence[int]
    order: Sequence[int]
    _values: dict[tuple[str, int], list[list[tuple[float, ...]]]] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs of one configuration."""
        return int(self.deep.metric.shape[2])

    def values(self, by: str = "metric", window: int = 1) -> list[list[tuple[float, ...]]]:
        """What a rung ranks by, [configuration][epoch - 1]: for each seed its mean over the window."""
        if (by, window) not in self._values:
            curves: Floats = getattr(self.deep, by)[:, self.seen]
            sums = np.cumsum(np.pad(curves, ((0, 0), (0, 0), (window, 0))), axis=2)
            counts = np.minimum(np.arange(1, self.epochs + 1), window)
            means = (sums[..., window:] - sums[..., :-window]) / counts
            self._values[by, window] = [[tuple(each) for each in one.T.tolist()] for one in means]
        return self._values[by, window]

    def means(self, by: str = "metric") -> list[list[float]]:
        """The mean over the seeds seen, [configuration][epoch - 1]."""
        return [[sum(each) / len(each) for each in one] for one in self.values(by)]

    def regret(self, finished: Sequence[int]) -> float:
        """Points by which the choice is worse than the true best, on seeds that the search did not see."""
        ends = self.deep.metric[:, self.seen, -WINDOW:].mean(axis=(1, 2))
        chosen = max(finished, key=lambda sample: (ends[sample], -sample))
        best = int(self.deep.metric[..., -1].mean(axis=1).argmax())
        truth = self.deep.metric[:, self.unseen, -1].mean(axis=1)
        return float(truth[best] - truth[chosen])


def searches(record: Sequence[Deep], draws: int = DRAWS) -> Iterator[Search]:
    """Searches over a record; one that is made up has several sets of curves, which take turns."""
    rng = generator("stopping", record[0].name)
    for number in range(draws):
        deep = record[number % len(record)]
        configurations, seeds, _ = deep.metric.shape
        drawn = rng.permutation(seeds).tolist()
        order = rng.permutation(configurations).tolist()
        yield Search(number, deep, drawn[:SEEN], drawn[SEEN:], order)
