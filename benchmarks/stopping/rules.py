"""The rules: tune-app's own, and those of its peers, each as a scheduler that ``replay`` can drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.stopping import peers
from benchmarks.stopping.replay import Played, Search, Stopping, replay
from tune_app import space
from tune_app.stopping import make_stopper
from tune_app.stopping.rungs import Promotion, PromotionAsha, SynchronousHalving

GRACES = (1, 2, 3, 4)
FACTORS = (2, 2.5, 3, 4, 5, 8, 10)
EVERYTHING = "everything to the end"
#: Rules that people can choose; the others show what is lost or gained beside them.
OWN = ("asha", "asha, promotion", "halving", "hyperband", "median")
PEERS = ("Ray's ASHA", "Ray's hyperband", "Optuna's hyperband", "Syne Tune's ASHA")


@dataclass(frozen=True)
class Variant:
    """A rule with its settings; ``play`` replays a search under it."""

    rule: str
    play: Callable[[Search], Played]
    grace: int | None = None
    factor: float | None = None
    by: str = "metric"
    window: int = 1
    ties: float = 0.0

    @property
    def settings(self) -> str:
        """As people write it."""
        shown = {"grace": self.grace, "factor": self.factor}
        found = [f"{name} {value:g}" for name, value in shown.items() if value is not None]
        found += ["by loss"] if self.by == "loss" else []
        found += [f"window {self.window}"] if self.window > 1 else []
        found += [f"ties {self.ties:g}"] if self.ties else []
        return ", ".join(found)


class Pausing:
    """A rule under which everyone waits at each rung; a free slot first trains what is new, where asked."""

    def __init__(
        self,
        search: Search,
        rule: SynchronousHalving | PromotionAsha,
        rungs: Sequence[int],
        by: str,
        window: int,
    ) -> None:
        self.milestones = rungs
        self._rule, self._values = rule, search.values(by, window)
        self._waiting, self._training = list(search.order), 0
        self._gone_on, self._finished = set[Promotion](), False

    def next(self) -> int | None:
        """See Rule."""
        sample = None
        if promotion := self._promotion():
            self._rule.promote(promotion)
            self._gone_on.add(promotion)
            sample = promotion.sample
        elif self._waiting:
            sample = self._waiting.pop(0)
        self._training += sample is not None
        return sample

    def _promotion(self) -> Promotion | None:
        if self._waiting and isinstance(self._rule, SynchronousHalving):
            return None
        for rung in reversed(self.milestones):
            for sample in self._rule.kept(rung):
                if (sample, rung) not in self._gone_on:
                    return Promotion(sample, rung)
        if isinstance(self._rule, SynchronousHalving) or self._waiting or self._training or self._finished:
            return None
        return self._rule.last()

    def goes_on(self, sample: int, epoch: int) -> bool:
        """See Rule."""
        self._training -= 1
        self._finished |= epoch not in self.milestones
        if epoch in self.milestones:
            self._rule.reach(sample, epoch, self._values[sample][epoch - 1])
        return False


def variants() -> Iterator[Variant]:
    """Every rule at every grace period and factor."""
    yield Variant(EVERYTHING, lambda search: Played(search.order, len(search.order) * search.epochs))
    for grace in GRACES:
        for by in ("metric", "loss"):
            yield Variant("i-Epoch", _halving([grace], None, by), grace, by=by)
            for factor in FACTORS:
                rungs = _rungs(grace, factor)
                yield Variant("asha", _own("asha", grace, factor, by), grace, factor, by)
                for window, ties in ((1, 0.0), (2, 0.0), (3, 0.0), (1, 0.5), (1, 1.0)):
                    if window <= grace:
                        play = _halving(rungs, factor, by, window, ties)
                        yield Variant("halving", play, grace, factor, by, window, ties)
                if factor > 5:
                    continue
                yield Variant("asha, promotion", _promotion(rungs, factor, by), grace, factor, by)
                play = _promotion(rungs, factor, by, delay=False)
                yield Variant("asha, promotion without delay", play, grace, factor, by)
                yield Variant("hyperband", _own("hyperband", grace, factor, by), grace, factor, by)
        yield Variant("median", _own("median", grace, 3, "metric"), grace)
    for shards in (3, 9):
        yield Variant(f"asha, in {shards} runs", _sharded(shards), 1, 3)
    for factor in (3, 4):
        for grace in GRACES:
            yield Variant("Ray's ASHA", _peer(peers.ray_asha, grace, factor), grace, factor)
            yield Variant("Optuna's hyperband", _peer(peers.optuna_hyperband, grace, factor), grace, factor)
            if peers.HAS_SYNE_TUNE:
                yield Variant("Syne Tune's ASHA", _peer(peers.syne_tune_asha, grace, factor), grace, factor)
        yield Variant("Ray's hyperband", _ray_hyperband(factor), factor=factor)


def _rungs(grace: int, factor: float, epochs: int = 30) -> list[int]:
    return space.Stop(scheduler="asha", grace_period=grace, reduction_factor=factor).rungs(epochs)


def _halving(
    rungs: Sequence[int], factor: float | None, by: str, window: int = 1, ties: float = 0.0
) -> Callable[[Search], Played]:
    """``factor`` None keeps three."""

    def play(search: Search) -> Played:
        rule = SynchronousHalving(len(search.order), rungs, factor or len(search.order) / 3, ties)
        return replay(Pausing(search, rule, rungs, by, window), search.epochs)

    return play


def _promotion(
    rungs: Sequence[int], factor: float, by: str, delay: bool = True
) -> Callable[[Search], Played]:
    def play(search: Search) -> Played:
        return replay(Pausing(search, PromotionAsha(rungs, factor, delay), rungs, by, 1), search.epochs)

    return play


def _own(scheduler: str, grace: int, factor: float, by: str) -> Callable[[Search], Played]:
    asked = space.parse(
        "task: pneumonia\nspace: {lr: {loguniform: [1e-4, 1e-1]}}\nsearch: {algorithm: random, samples: 81}\n"
        "metric: {name: val_accuracy, mode: max}\nepochs: 30",
        [f"stop={{scheduler: {scheduler}, grace_period: {grace}, reduction_factor: {factor}}}"],
    )

    def play(search: Search) -> Played:
        stopper = make_stopper(asked.model_copy(update={"seed": search.number}))
        values = search.means(by)

        def judge(sample: int, epoch: int) -> bool:
            return not any(each.stop for each in stopper.judge(sample + 1, epoch, values[sample][epoch - 1]))

        rungs = asked.stop.rungs(search.epochs) or range(1, search.epochs)
        return replay(Stopping(search.order, rungs, judge), search.epochs)

    return play


def _sharded(shards: int) -> Callable[[Search], Played]:
    own = _own("asha", 1, 3, "metric")

    def play(search: Search) -> Played:
        runs = [own(replace(search, order=search.order[first::shards])) for first in range(shards)]
        return Played([sample for run in runs for sample in run.finished], sum(run.epochs for run in runs))

    return play


def _peer(
    make: Callable[[Search, int, int], Stopping], grace: int, factor: int
) -> Callable[[Search], Played]:
    return lambda search: replay(make(search, grace, factor), search.epochs)


def _ray_hyperband(factor: int) -> Callable[[Search], Played]:
    return lambda search: replay(peers.RayHyperband(search, factor), search.epochs)
