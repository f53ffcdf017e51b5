"""Settling a run: more seeds for the configurations that may be the best, until it is known which one is.

It is settled once one configuration is left, or all that are left are within a margin of each other. What
follows a batch depends on the record alone, so a settling that was interrupted ends as it would have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app import progress, results
from tune_app.errors import RunError
from tune_app.results import Frames, verdict
from tune_app.results.verdict import Verdict
from tune_app.stats.settling import SEEDS, Outcome, SettlingPlan, after_looks, planned
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch, Settled
from tune_app.text import counted, duration

#: The default budget is enough for this many batches, if none of the configurations drops out.
BATCHES = 7


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
    if len(judged.best_set) == 1:
        raise NothingToSettle("one configuration is the best")
    behind = {s for each in sweep.history.settlings for b in each.batches for s in b.among}
    behind -= set(judged.best_set)  # who has left stays out
    samples = _compared(frames, sweep.history.configurations.keys() - behind)
    seeds = budget or BATCHES * SEEDS * len(judged.best_set)
    plan = SettlingPlan(planned(len(judged.best_set), seeds), seeds, _margin(frames, within))
    n = max(int(frames.row(sample)["n"]) for sample in samples)
    found = _outcome(frames, samples, plan, [n], 0)
    if found.why == "one":
        raise NothingToSettle("one configuration is left at the first look")
    if found.why == "within":
        raise NothingToSettle("all that may be the best are within the margin of each other")
    if found.why:
        members = int(found.members.sum())
        raise RunError(
            f"--budget {seeds}: {members} configurations may be the best, and a batch adds one seed or more "
            f"to each: write {members} or more, or leave it out."
        )
    batch = _batch(frames, samples, samples, found, plan, n)
    return batch, _headline(frames, judged, batch)


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
    frames, done = results.load(sweep), sweep.history.settlings[-1]
    last = done.batches[-1]
    samples = _compared(frames, last.among)
    if not samples:
        return Settled(why="none")
    plan = SettlingPlan(last.looks, last.budget, last.within)
    at = [*(batch.before for batch in done.batches), last.after]
    found = _outcome(frames, samples, plan, at, done.spent)
    left = f"{found.members.sum()} of {len(last.samples)} left"
    progress.note(f"  batch {len(done.batches)}: {left}, {done.spent} of {last.budget} seeds spent")
    if found.why:
        return Settled(why=found.why)
    return _batch(frames, samples, last.among, found, plan, last.after)


def _compared(frames: Frames, among: Collection[int]) -> list[int]:
    """Those of these that have finished, best first; each point once."""
    ranked = results.ranked(frames)
    samples = ranked[ranked["twin"].isna() & ranked["sample"].isin(among)]["sample"]
    return [int(sample) for sample in samples][: verdict.CANDIDATES]


def _outcome(
    frames: Frames, samples: Sequence[int], plan: SettlingPlan, taken: Sequence[int], spent: int
) -> Outcome:
    """What settling ``samples`` does after its looks; ``taken`` has their numbers of replicates."""
    space = frames.sweep.space
    numbers = range(space.first_replicate, space.first_replicate + max(taken))
    column = frames.choice_of(space.metric.name)
    found = [frames.replicates(sample, column).reindex(numbers) for sample in samples]
    values: NDArray[np.float64] = pd.concat(found, axis=1).to_numpy(np.float64).T
    step = frames.units.step(space.metric.name, map(float, values[np.isfinite(values)]))
    return after_looks(space.metric.sign * values, plan, taken, spent, step)


def _batch(
    frames: Frames,
    samples: Sequence[int],
    among: Collection[int],
    found: Outcome,
    plan: SettlingPlan,
    before: int,
) -> Batch:
    members = [
        (sample, int(more))
        for sample, more, inside in zip(samples, found.seeds, found.members, strict=True)
        if inside
    ]
    return Batch(
        samples=[sample for sample, _ in members],
        seeds=[more for _, more in members],
        among=sorted(among),
        before=before,
        after=max(int(frames.row(sample)["n"]) + more for sample, more in members),
        looks=plan.looks,
        budget=plan.budget,
        within=plan.margin,
    )


def _margin(frames: Frames, within: float | None) -> float | None:
    return None if within is None else within / frames.units.scale(frames.sweep.space.metric.name)


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
        f"best by {sweep.space.chosen_by(chosen.metric)}; to settle which takes {expected}"
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
        sessions.setdefault(attempt.session, []).extend((attempt.started_at, attempt.left_at))
        seeds += len(attempt.replicates)
    return sum(max(times) - min(times) for times in sessions.values()) / max(seeds, 1)
