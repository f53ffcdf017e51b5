"""Settling a run: more seeds for the configurations that may be the best, until it is known which one is.

It is settled once one configuration is left, or all that are left are within a margin of each other. What
follows a batch depends on the record alone, so a settling that was interrupted ends as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tune_app import progress, results
from tune_app.errors import RunError
from tune_app.results import Frames, verdict
from tune_app.results.frames import common
from tune_app.results.verdict import Verdict
from tune_app.stats import best_set, equivalence
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch, Settled
from tune_app.text import counted, duration

#: A batch brings each configuration to this many seeds above the fewest of them.
SEEDS = 5

#: The default budget is enough for this many batches, if none of the configurations drops out.
BATCHES = 7


#: Why there is nothing to settle where the first look ends it.
_WHY = {"one": "one configuration is the best", "within": "all that may be the best are within the margin"}


class NothingToSettle(Exception):
    """More seeds would change nothing; the message says why."""


def begin(sweep: Sweep, within: float | None = None, budget: int | None = None) -> tuple[Batch, str]:
    """The first batch of settling a run, and a line that says what is expected.

    ``within`` is a margin in the unit in which the metric is shown.

    Raises:
        NothingToSettle: it is settled already, or no number of seeds could settle it.
        RunError: the run has not finished or has one seed, or an option cannot be used.
    """
    name, frames = sweep.name, results.load(sweep)
    if not sweep.complete_and_trained():
        raise RunError(
            f"{name}: {counted(sweep.outstanding(), 'trial')} of it are still to be trained, and settling "
            f"begins once all have ended. Train them with: tune-app resume {name}"
        )
    judged = verdict.judge(frames, test=False)
    if judged.winner is None:
        raise RunError(
            f"{name}: no configuration has finished, so there is none to settle on. To try those again that "
            f"failed: tune-app retry {name}"
        )
    if judged.chosen.candidates < 2:
        raise NothingToSettle("only one configuration has finished")
    if judged.chosen.unanswered.get("seeds"):
        n = judged.chosen.standing(judged.winner).n
        raise RunError(
            f"{name}: {counted(n, 'seed')} for each configuration show no spread, and settling begins with "
            f"two or more, better five. Add some with: tune-app extend {name} --seeds {SEEDS}"
        )
    if judged.chosen.seedless:
        raise NothingToSettle("every seed gives the same value, so more seeds would show nothing new")
    members = judged.best_set
    if budget is not None and len(members) > max(budget, 1):
        raise RunError(
            f"--budget {budget}: {len(members)} configurations may be the best, and a batch adds one seed or "
            f"more to each: write {len(members)} or more, or leave it out."
        )
    margin = _margin(frames, within)
    found = _next(frames, members, margin, budget or BATCHES * SEEDS * len(members), 0)
    if isinstance(found, Settled):
        raise NothingToSettle(_WHY[found.why])
    return found, _headline(frames, judged, found)


def require_same(sweep: Sweep, within: float | None, budget: int | None) -> None:
    """Raise RunError unless the settling that goes on was asked for with these; None is any."""
    last, margin = sweep.history.settlings[-1].batches[-1], _margin(results.load(sweep), within)
    for flag, asked, known in (("--within", margin, last.within), ("--budget", budget, last.budget)):
        if asked is not None and asked != known:
            raise RunError(
                f"{sweep.name}: it is being settled with another {flag}. Go on with that: tune-app resume "
                f"{sweep.name}\n  To end that first: tune-app extend {sweep.name} --undo"
            )


def look(sweep: Sweep) -> Batch | Settled:
    """What follows the last batch, which is trained: another one, or the end. The user is told."""
    settling = sweep.history.settlings[-1]
    frames, last = results.load(sweep), settling.batches[-1]
    members = _members(frames, last.samples)
    found = _next(frames, members, last.within, last.budget, settling.spent)
    left = f"{len(members)} of {len(last.samples)} left, {settling.spent} of {last.budget} seeds spent"
    progress.note(f"  batch {len(settling.batches)}: {left}")
    return found


def _margin(frames: Frames, within: float | None) -> float | None:
    metric = frames.sweep.space.metric.name
    if within is None:
        return None
    if not (math.isfinite(within) and within > 0):
        unit = "points" if frames.units.is_share(metric) else f"units of {metric}"
        raise RunError(f"--within {within:g}: write a number of {unit} above 0, such as 0.5.")
    return within / frames.units.scale(metric)


def _members(frames: Frames, samples: Sequence[int]) -> tuple[int, ...]:
    """Those of ``samples`` that may be the best by all their seeds."""
    metric = frames.sweep.space.metric
    values = {
        sample: found
        for sample in samples
        if len(found := frames.replicates(sample, frames.choice_of(metric.name)))
    }
    if len(values) < 2:
        return tuple(values)
    step = frames.units.step(metric.name, (float(each) for found in values.values() for each in found))
    inside = best_set.over_seeds(metric.sign * common(values.values()), step)
    return tuple(np.array(list(values))[inside].tolist())


def _equivalent(frames: Frames, members: Sequence[int], margin: float) -> bool:
    name = frames.sweep.space.metric.name
    values = common([frames.replicates(sample, frames.choice_of(name)) for sample in members])
    step = frames.units.step(name, map(float, values.ravel()))
    return bool((equivalence.p_values(values, margin, step) <= verdict.LEVEL).all())


def _next(
    frames: Frames, members: Sequence[int], margin: float | None, budget: int, spent: int
) -> Batch | Settled:
    """The batch or the end that follows a look which left ``members``."""
    if len(members) < 2:
        return Settled(why="one" if members else "none")
    if margin is not None and _equivalent(frames, members, margin):
        return Settled(why="within")
    seeds = _seeds({sample: int(frames.row(sample)["n"]) for sample in members}, budget - spent)
    if not sum(seeds):
        return Settled(why="budget")
    return Batch(samples=list(members), seeds=seeds, budget=budget, within=margin)


def _seeds(there: Mapping[int, int], left: int) -> list[int]:
    """How many seeds each gets: all are brought to one number of seeds, as far as those that are left do."""
    for target in range(min(there.values()) + SEEDS, min(there.values()), -1):
        seeds = [max(0, target - n) for n in there.values()]
        if sum(seeds) <= left:
            return seeds
    return [0] * len(there)


# ---------------------------------------------------------------- in words


def _headline(frames: Frames, judged: Verdict, batch: Batch) -> str:
    """What settling begins with, and how many seeds and seconds it is expected to take."""
    seed_s = _seed_s(frames.sweep)
    seeds, most = _expected(frames, judged, batch), counted(batch.budget, "seed")
    most += f" ({duration(batch.budget * seed_s)})"
    expected = f"about {counted(seeds, 'more seed')} ({duration(seeds * seed_s)}), at most {most}"
    if seeds >= batch.budget:
        expected = f"up to {most}"
    sweep, chosen = frames.sweep, judged.chosen
    return (
        f"{sweep.name}: {len(batch.samples)} of {counted(chosen.candidates, 'configuration')} may be the "
        f"best by {chosen.metric}; to settle which takes {expected}"
    )


def _expected(frames: Frames, judged: Verdict, batch: Batch) -> int:
    """How many seeds would show the differences so far, from the best to each other member."""
    there = {sample: int(frames.row(sample)["n"]) for sample in batch.samples}
    enough = {sample: n + seeds for (sample, n), seeds in zip(there.items(), batch.seeds, strict=True)}
    for pair in judged.chosen.pairs:
        if pair.first == judged.winner and pair.second in enough and pair.seeds and pair.seeds.needed:
            needed = pair.seeds.needed if pair.seeds.needed > 0 else batch.budget
            enough[pair.second] = max(enough[pair.second], needed)
    if judged.winner in enough:
        enough[judged.winner] = max(enough.values())
    return min(batch.budget, sum(enough[sample] - n for sample, n in there.items()))


def _seed_s(sweep: Sweep) -> float:
    """Seconds that a seed took in the sessions so far, with as many at a time as there were."""
    sessions: dict[int, list[float]] = {}
    seeds = 0
    for attempt in sweep.history.attempts.values():
        sessions.setdefault(attempt.session, []).extend((attempt.started_at, attempt.last_at))
        seeds += len(attempt.replicates)
    return sum(max(times) - min(times) for times in sessions.values()) / max(seeds, 1)
