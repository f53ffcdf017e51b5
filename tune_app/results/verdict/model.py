"""The verdict as data, for the report, the terminal and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tune_app.space import Config
from tune_app.stats.looks import Look
from tune_app.stats.winner_estimate import WinnerEstimate

#: Significance level of differences, after Holm's correction; intervals have a confidence of 1 minus it.
LEVEL = 0.05

#: Only the best MOST are compared in pairs: each further pair weakens the correction for all.
MOST = 20

#: The set that may hold the best is looked for among this many of the highest means: it takes time.
CANDIDATES = 200


def sign(mode: str) -> int:
    """What values are multiplied by so that larger ones are better."""
    return 1 if mode == "max" else -1


@dataclass(frozen=True)
class PairTest:
    """The test of one pair for one question.

    ``half_width`` is that of the difference's 95% interval, None if nothing varies; ``adjusted`` is ``p``
    after Holm's correction, and that for several looks; see `stats.looks.pairs`. ``needed`` is the number of
    seeds (or patients) that would show a difference of this size with a power of 80%: None if it is
    significant already, -1 above a limit. ``constant`` says that
    every seed (or patient) shows the same difference.
    """

    half_width: float | None
    p: float
    adjusted: float
    needed: int | None
    constant: bool = False

    @property
    def significant(self) -> bool:
        """Whether the difference is significant."""
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Pair:
    """Two samples, the higher ranked ``first``; ``difference`` is the first's mean minus the second's.

    A question that cannot be answered is None; ``Comparison.unanswered`` says why.
    """

    first: int
    second: int
    difference: float
    seeds: PairTest | None
    patients: PairTest | None

    @property
    def same(self) -> bool:
        """Whether the two have the same value with every seed."""
        return self.seeds is not None and self.seeds.constant and self.seeds.p == 1

    @property
    def significant(self) -> bool:
        """Whether the difference is significant in every answered question, and one was answered."""
        answers = [answer for answer in (self.seeds, self.patients) if answer is not None]
        return bool(answers) and all(answer.significant for answer in answers)


@dataclass(frozen=True)
class Standing:
    """One configuration: the ``values`` of a metric, one a replicate, their mean, and its 95% intervals.

    ``half_width`` is over seeds, on these images (None for n = 1); ``both`` over seeds and patients, None
    for too few of either; ``images`` the Wilson interval of a single run's share of images, which covers
    other images alone. ``letters`` by question: two that share a letter do not differ significantly.
    """

    sample: int
    config: Config
    values: tuple[float, ...]
    mean: float
    half_width: float | None
    both: float | None
    images: tuple[float, float] | None
    letters: Mapping[str, str]

    @property
    def n(self) -> int:
        """The number of replicates in the mean."""
        return len(self.values)


@dataclass(frozen=True)
class Comparison:
    """Configurations compared by one metric, in the order that the space's metric ranks them.

    ``best_sets`` has, by question, the samples that may be the best (95% confidence), in the same order:
    over seeds of ``candidates`` configurations, over patients of those with a standing. ``mode`` says
    whether ``max`` or ``min`` is better; ``seedless``, that each configuration has one value, whatever the
    seed. ``images`` and ``patients`` are how many of them the answers to ``patients`` rest on.
    ``unanswered`` has the reason by question; ``notes`` are for the reader.
    """

    metric: str
    mode: str
    seedless: bool
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    best_sets: Mapping[str, tuple[int, ...]]
    candidates: int
    images: int | None
    patients: int | None
    unanswered: Mapping[str, str]
    notes: tuple[str, ...]

    def pair(self, one: int, other: int) -> Pair:
        """The pair of two samples, in either order. Raises KeyError where they are not compared."""
        return {frozenset((pair.first, pair.second)): pair for pair in self.pairs}[frozenset((one, other))]

    def significantly_different(self, sample: int) -> tuple[list[int], list[int]]:
        """The samples that differ significantly from this one: the worse ones, and the better ones."""
        worse: list[int] = []
        better: list[int] = []
        for pair in self.pairs:
            if pair.significant and sample in (pair.first, pair.second):
                lead = pair.difference * sign(self.mode)
                wins = (lead > 0) == (sample == pair.first)
                (worse if wins else better).append(pair.second if sample == pair.first else pair.first)
        return worse, better

    def standing(self, sample: int) -> Standing:
        """A configuration by its sample's number. Raises KeyError where it is not compared."""
        return {standing.sample: standing for standing in self.standings}[sample]


@dataclass(frozen=True)
class Equivalence:
    """The samples that are ``shown`` to differ from the winner by less than ``margin``, on other seeds.

    All of them together have a confidence of 95%; they are of ``others`` that were tested. ``margin`` is in
    the unit in which the metric is shown, such as percentage points.
    """

    margin: float
    shown: tuple[int, ...]
    others: int


@dataclass(frozen=True)
class Verdict:
    """The choice, compared by the values that choose, and the same configurations on the sealed test set.

    ``winner`` is the best by the space's metric, None where nothing has finished. ``expected`` is what
    to expect of it on new seeds: None for fewer than three seeds, or for a single configuration. ``test`` is
    None without test metrics. ``equivalence`` is None unless a margin was asked for, and seeds can say
    it. ``looks`` are the verdicts between which seeds were added; this is the last of them. ``notes`` say
    what was left out.
    """

    winner: int | None
    chosen: Comparison
    expected: WinnerEstimate | None
    test: Comparison | None
    equivalence: Equivalence | None
    looks: tuple[Look, ...]
    notes: tuple[str, ...]

    def sealed(self, opened: Collection[int] | None) -> Verdict:
        """The verdict without the test results of other samples than those ``opened``; None is all."""
        if self.test is None or opened is None:
            return self
        kept = tuple(replace(each, letters={}) for each in self.test.standings if each.sample in opened)
        return replace(self, test=replace(self.test, standings=kept, pairs=(), best_sets={}))

    @property
    def best_set(self) -> tuple[int, ...]:
        """The samples that may be the best on other seeds, best first; empty where one seed cannot say."""
        return self.chosen.best_sets.get("seeds", ())
