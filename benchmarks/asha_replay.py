"""Does early stopping choose well, and what does it save? Full records, replayed under many orders.

    python -m benchmarks.asha_replay

trains 81 configurations to their end, for each of six seeds once (a run that is there already is gone
on with). Their replicates are looped, for a measured choice would make other records each time. Then ASHA's
decisions are made anew over the recorded values, by the rule itself (``tune_app.stopping``), for 50 orders of
the trials, as 50 seeds shuffle them. At last one of the orders is run for real, on Ray.

Concurrency is a model: a number of slots, in each of which a trial trains epoch after epoch; a slot that is
free takes the next trial. In lockstep every epoch takes the same time. Trials then come to each rung in the
order in which they started, whatever the number of slots; so they are replayed at uneven paces as well.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import asha_page
from tune_app import progress, results, space
from tune_app import stopping as stop
from tune_app.session import lifecycle, provenance
from tune_app.session.request import Request
from tune_app.space import SearchSpace
from tune_app.stopping import Stopper
from tune_app.sweep import Sweep
from tune_app.sweep.events import Created, Opened, Planned
from tune_app.sweep.record import read

SPACE = """
task: pneumonia
space:
  lr: {grid: [1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3]}
  step_size: {grid: [2, 4, 8]}
  gamma: {grid: [0.2, 0.4, 0.8]}
fixed: {batch_size: 128, loss: bce}
epochs: 30
seeds: 3
metric: {name: val_accuracy, mode: max}
choose: {window: 1}
keep: none
replicates: looped
"""
#: What is asked about; the rules beside it have the same defaults.
ASHA = "stop={scheduler: asha, grace_period: 1, reduction_factor: 3}"
COMMAND = "python -m benchmarks.asha_replay"
IMAGE_SIZE, SHUFFLES, SLOTS = 28, 50, 4
SEEDS = tuple(range(6))
LOCKSTEP, UNEVEN = "**asha**", "the same, at uneven paces"
NOTHING = "as many epochs, nothing stopped"
#: Other rules over the same records, in lockstep. Each lets at least one trial finish.
OTHERS = {
    "asha, grace_period 3": "{scheduler: asha, grace_period: 3}",
    "asha, reduction_factor 2": "{scheduler: asha, reduction_factor: 2}",
    "hyperband": "{scheduler: hyperband}",
    "median": "{scheduler: median}",
}
#: A sweep in so many runs of their own, which early stopping holds apart; the best of all is chosen.
SHARDS = (3, 9)
RESULTS = Path(__file__).parent / "results"

#: For each sample its value after each epoch, the mean over its seeds; None from where a seed diverged.
Curves = Mapping[int, Sequence[float | None]]


@dataclass(frozen=True)
class Played:
    """What a sweep came to: the sample that it chooses, the epochs it trained, the samples it finished."""

    chosen: int
    epochs: int
    finished: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """How good a choice was: its distance below the best, whether it is the best itself, within one standard
    error of the best (the best's own), within one of their difference; and the share of epochs it took.
    """

    shortfall: float
    best: bool
    within: bool
    alike: bool
    epochs: float


@dataclass(frozen=True)
class Full:
    """The full record: curves, and the standard error of each mean over seeds after the last epoch."""

    curves: Curves
    errors: Mapping[int, float]

    @property
    def samples(self) -> list[int]:
        """Every sample, in the order of the space."""
        return list(self.curves)

    @property
    def epochs(self) -> int:
        """Epochs of all configurations, each counted once for all its seeds."""
        return sum(map(len, self.curves.values()))

    @property
    def best(self) -> int:
        """The sample that a sweep without early stopping chooses."""
        return self.chosen(self.samples)

    def last(self, sample: int) -> float:
        """The value after the last epoch; the worst there is where a seed diverged."""
        value = self.curves[sample][-1]
        return float("-inf") if value is None else value

    def chosen(self, finished: Sequence[int]) -> int:
        """The best of those that finished, the first of several: as a run ranks them."""
        return max(finished, key=lambda sample: (self.last(sample), -sample))

    def shuffled(self, seed: int) -> list[int]:
        """The order in which a sweep of that seed trains, as the driver makes it."""
        return sorted(self.samples, key=lambda sample: stop.order_key(seed, sample))

    def replay(
        self,
        stopper: Stopper,
        order: Sequence[int],
        slots: int = SLOTS,
        pace: Callable[[int], float] = lambda sample: 1.0,
    ) -> Played:
        """Early stopping over the curves, trials coming in ``order``; ``pace`` is the time an epoch takes."""
        waiting = list(enumerate(order))
        trained, finished = 0, list[int]()
        # when an epoch ends; at the same time whoever came first; the sample; the epoch
        running: list[tuple[float, int, int, int]] = []
        for place, sample in waiting[:slots]:
            heapq.heappush(running, (pace(sample), place, sample, 1))
        del waiting[:slots]
        while running:
            now, place, sample, epoch = heapq.heappop(running)
            trained += 1
            decisions = stopper.judge(sample, epoch, self.curves[sample][epoch - 1])
            ended = epoch == len(self.curves[sample])
            if not ended and not any(decision.stop for decision in decisions):
                heapq.heappush(running, (now + pace(sample), place, sample, epoch + 1))
                continue
            finished += [sample] if ended else []
            if waiting:
                place, sample = waiting.pop(0)
                heapq.heappush(running, (now + pace(sample), place, sample, 1))
        return Played(self.chosen(finished), trained, tuple(finished))

    def sharded(self, make: Callable[[], Stopper], order: Sequence[int], shards: int) -> Played:
        """The same in several runs, each of every so-manieth trial, with early stopping of its own."""
        runs = [self.replay(make(), order[first::shards]) for first in range(shards)]
        finished = tuple(sample for run in runs for sample in run.finished)
        return Played(self.chosen(finished), sum(run.epochs for run in runs), finished)

    def outcome(self, played: Played) -> Outcome:
        """Hold a choice against what a sweep without early stopping chooses."""
        chosen, best = played.chosen, self.best
        shortfall = self.last(best) - self.last(chosen)
        return Outcome(
            shortfall,
            chosen == best,
            shortfall <= self.errors[best],
            shortfall <= math.hypot(self.errors[best], self.errors[chosen]),
            played.epochs / self.epochs,
        )


def full_record(sweep: Sweep) -> Full:
    """The curves of a run that trained each configuration to its end, in one trial."""
    metric = sweep.space.metric.name
    curves: dict[int, list[float | None]] = {}
    for seen in stop.replay_inputs(sweep.history, metric)[0]:
        curves.setdefault(seen.sample, []).append(seen.value)
    errors = {}
    for sample in curves:
        last = sweep.history.configurations[sample].attempts[-1].epochs[-1]
        values = [value for value in last.metrics[metric] if value is not None]
        errors[sample] = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Full(curves, errors)


def replays(full: Full, seed: int) -> dict[str, list[Outcome]]:
    """Every shuffle in each way, with one outcome a shuffle."""
    asked = space.parse(SPACE, [f"seed={seed}", ASHA])
    others = {name: space.parse(SPACE, [f"seed={seed}", f"stop={rule}"]) for name, rule in OTHERS.items()}
    found: dict[str, list[Outcome]] = {LOCKSTEP: [], UNEVEN: [], NOTHING: []}
    for shuffle in range(SHUFFLES):
        order = full.shuffled(shuffle)
        paces = {sample: 0.5 + stop.order_key(shuffle, sample, " pace") for sample in order}
        played = {
            LOCKSTEP: full.replay(stop.make_stopper(asked), order),
            UNEVEN: full.replay(stop.make_stopper(asked), order, pace=paces.__getitem__),
            **{name: full.replay(stop.make_stopper(wanted), order) for name, wanted in others.items()},
            **{
                f"asha, in {shards} shards": full.sharded(lambda: stop.make_stopper(asked), order, shards)
                for shards in SHARDS
            },
        }
        finished = order[: max(1, round(played[LOCKSTEP].epochs / asked.epochs))]
        played[NOTHING] = Played(full.chosen(finished), asked.epochs * len(finished), tuple(finished))
        for name, each in played.items():
            found.setdefault(name, []).append(full.outcome(each))
    return found


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares of good choices; means and ranges of what they cost."""
    shares = [each.epochs for each in outcomes]
    return {
        "shuffles": len(outcomes),
        "within": statistics.fmean(each.within for each in outcomes),
        "alike": statistics.fmean(each.alike for each in outcomes),
        "best": statistics.fmean(each.best for each in outcomes),
        "shortfall": statistics.fmean(each.shortfall for each in outcomes),
        "most_shortfall": max(each.shortfall for each in outcomes),
        "epochs": statistics.fmean(shares),
        "least_epochs": min(shares),
        "most_epochs": max(shares),
    }


def train(wanted: SearchSpace, name: str, runs_dir: Path, address: str) -> Sweep:
    """Train a run, or what is lacking of it."""
    request = Request(wanted, "phantom", image_size=IMAGE_SIZE, name=name, runs_dir=runs_dir, address=address)
    return lifecycle.run(request, request.load()).train(progress.Watch)


def seconds(sweep: Sweep) -> float:
    """Wall time of a run's sessions, each from its opening to its last event."""
    taken = before = 0.0
    for _, event in read(sweep.paths.record):
        now = event.t
        taken += 0.0 if isinstance(event, Created | Planned | Opened) else now - before
        before = now
    return taken


def real_run(sweep: Sweep, full: Full) -> dict[str, Any]:
    """What a run under ASHA came to, beside the replay of its order."""
    ranked = results.ranked(results.load(sweep))
    trained = stop.replay_inputs(sweep.history, sweep.space.metric.name)[0]
    played = full.replay(stop.make_stopper(sweep.space), full.shuffled(sweep.space.seed))
    finished = tuple(int(sample) for sample in ranked["sample"])
    return {
        "seed": sweep.space.seed,
        "chosen": finished[0],
        **asdict(full.outcome(Played(finished[0], len(trained), finished))),
        "finished": len(finished),
        "seconds": seconds(sweep),
        "replayed": {"chosen": played.chosen, "finished": len(played.finished)}
        | asdict(full.outcome(played)),
    }


def measure(runs_dir: Path) -> dict[str, Any]:
    """Train all runs, replay the full ones, and return every figure."""
    records, outcomes, fulls = list[dict[str, Any]](), list[dict[str, list[Outcome]]](), list[Full]()
    for seed in SEEDS:
        wanted = space.parse(SPACE, [f"seed={seed}"])
        sweep = train(wanted, f"asha-replay-full-{seed}", runs_dir, "inline")
        full = full_record(sweep)
        fulls.append(full)
        outcomes.append(replays(full, seed))
        config = sweep.history.configurations[full.best].config
        records.append(
            {
                "seed": seed,
                "configurations": len(full.samples),
                "seconds": seconds(sweep),
                "best": full.best,
                "config": {name: config[name] for name in wanted.space},
                "value": full.last(full.best),
                "error": full.errors[full.best],
                "replays": {name: summary(each) for name, each in outcomes[-1].items()},
            }
        )
    stopping = space.parse(SPACE, [f"seed={SEEDS[0]}", ASHA])
    at_a_time = space.Resources(cpus_per_trial=0.5, max_concurrent=SLOTS)
    asked = stopping.model_copy(update={"resources": at_a_time})
    hardware = provenance.hardware()
    return {
        "command": COMMAND,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": provenance.versions(),
        "machine": {name: hardware[name] for name in ("cpu", "cores")},
        "data": f"{sweep.data.label()}, {IMAGE_SIZE}x{IMAGE_SIZE} pixels",
        "space": stopping.plain(),
        "slots": SLOTS,
        "records": records,
        "all": {name: summary([o for each in outcomes for o in each[name]]) for name in outcomes[0]},
        "real": real_run(train(asked, "asha-replay-asha", runs_dir, "local"), fulls[0]),
    }


def main() -> None:
    """Measure, and write the results beside this module."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="Where the runs are kept.")
    found = measure(parser.parse_args().runs_dir)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "asha_replay.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "asha_replay.md").write_text(asha_page.markdown(found), encoding="utf-8")
    print(f"written: {RESULTS / 'asha_replay.md'}")


if __name__ == "__main__":
    main()
