"""What a good colleague would say of a sweep before it goes into a report: structured warnings.

Each looks at the chosen configuration; all but ``seen_before`` are functions of the frames alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
from scipy.stats import linregress, norm

from tune_app import stats, words
from tune_app.errors import RunError
from tune_app.record import read
from tune_app.results import Frames
from tune_app.space import KINDS, Sampler
from tune_app.sweep import RunPaths, Sweep, find_runs
from tune_app.verdict import LEVEL, Verdict

#: Fewer seeds say little of the next; see docs/statistics.md.
FEW_SEEDS = 5

#: A curve still rises if its last quarter does, of so many epochs at least, and by this share of 1.
FEWEST_EPOCHS = 5
GAIN = 0.005

#: A value is at the edge of a range within this share of it, and at that of a list among so many.
EDGE = 0.05
FEWEST_VALUES = 3

#: Training accuracy that counts as nearly all, and the gap to validation that counts as one.
NEARLY_ALL = 0.98
GAP = 0.05

_Z = float(norm.isf(LEVEL / 2))


@dataclass(frozen=True)
class Caution:
    """One warning: ``kind`` for programs, ``text`` for people (one sentence or two), and whom it is about."""

    kind: str
    text: str
    sample: int | None = None


def cautions(frames: Frames, verdict: Verdict, others: Sequence[str] = ()) -> list[Caution]:
    """All that is to be said of the choice, the weightiest first; nothing where nothing has finished.

    Args:
        frames: the sweep.
        verdict: ``verdict.judge`` of the same frames.
        others: names of other runs that have looked at the same test set: see ``seen_before``.
    """
    if verdict.winner is None:
        return []
    found = [
        *_few_seeds(verdict, verdict.winner),
        *_seen(frames, others),
        *_small_validation(frames, verdict, verdict.winner),
        *_edges(frames, verdict.winner),
        *_still_rising(frames, verdict.winner),
        *_overfitting(frames, verdict.winner),
    ]
    return [Caution(kind, text, verdict.winner) for kind, text in found]


def seen_before(sweep: Sweep) -> list[str]:
    """Names of the other runs beside this one that have finished trials on the same data, newest first.

    A run whose record cannot be read is passed over: it is for its own report to say so.
    """
    if not sweep.data.fingerprint:
        return []
    here = sweep.paths.folder
    return [
        folder.name
        for folder in find_runs(here.parent)
        if folder.resolve() != here.resolve() and _has_looked(folder, sweep.data.fingerprint)
    ]


def _has_looked(folder: Path, fingerprint: str) -> bool:
    try:
        for _, event in read(RunPaths(folder).record):
            if event["event"] == "created" and event["data"]["fingerprint"] != fingerprint:
                return False
            if event["event"] == "finished":
                return True
    except (RunError, KeyError, TypeError):
        return False
    return False


Found = Iterator[tuple[str, str]]


def _few_seeds(verdict: Verdict, winner: int) -> Found:
    n = verdict.chosen.standing(winner).n
    if n == 1:
        yield (
            "few_seeds",
            f"one seed only: no interval, and luck is not told from merit; use --seeds {FEW_SEEDS}",
        )
    elif n < FEW_SEEDS:
        factor = stats.quantile(1 - LEVEL, n - 1) / math.sqrt(n)
        yield (
            "few_seeds",
            f"chosen on {n} seeds: an interval reaches {factor:.1f} standard deviations either way; "
            f"use --seeds {2 * FEW_SEEDS}",
        )


def _seen(frames: Frames, others: Sequence[str]) -> Found:
    if others and frames.sweep.data.kind != "phantom":  # which anybody may look at, being drawn by code
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        yield (
            "test_seen",
            f"{words.count(len(others), 'other run')} looked at this test set too ({named}): the best of "
            "several looks flatters",
        )


def _small_validation(frames: Frames, verdict: Verdict, winner: int) -> Found:
    """The difference that the choice rests on, against what other validation images would do to it."""
    metric, images = frames.sweep.space.metric.name, (frames.sweep.data.counts or {}).get("val")
    rival = next(
        (s.sample for s in verdict.chosen.standings if s.sample != winner and s.sample not in verdict.tied),
        None,
    )
    if not words.is_share(metric) or not images or rival is None:
        return
    pair = verdict.chosen.pair(winner, rival) if verdict.chosen.pairs else None
    means = [verdict.chosen.standing(sample).mean for sample in (winner, rival)]
    difference = abs(means[0] - means[1] if pair is None else pair.difference)
    sd = _sd_of_an_image(verdict, winner, rival, means)
    reach = _Z * sd / math.sqrt(images)
    if difference == 0 or difference >= reach:
        return
    wanted = int(stats.needed(difference, sd, LEVEL, most=1_000_000))
    enough = f"about {_rounded(wanted):,}" if wanted > 0 else "more than a million"
    yield (
        "small_validation",
        f"{images} validation images cannot show its lead of {100 * difference:.1f} points: others would "
        f"move it by ± {100 * reach:.1f}; it takes {enough}",
    )


def _sd_of_an_image(verdict: Verdict, winner: int, rival: int, means: Sequence[float]) -> float:
    """Spread of the difference on one image: as on the test set, else as of two that agree by chance."""
    test = verdict.test
    answer = test.pair(winner, rival).patients if test and test.pairs else None
    if test and answer and answer.half_width and test.images:
        return answer.half_width / _Z * math.sqrt(test.images)
    return math.sqrt(sum(mean * (1 - mean) for mean in means))


def _rounded(number: int) -> int:
    """To two digits: it is an estimate."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _edges(frames: Frames, winner: int) -> Found:
    space = frames.sweep.space
    for name in frames.varying:
        value = frames.sweep.history.configurations[winner].config.get(name)
        if not _is_number(value):
            continue
        sampler = space.space.get(name)
        tried = _tried(frames, name, sampler)
        if sampler is not None and sampler.kind not in ("grid", "choice", "randn"):
            edge = _edge_of_range(float(value), sampler)
        else:
            edge = _edge_of_list(float(value), tried)
        if edge is None:
            continue
        higher, beyond = edge
        if all(float(each).is_integer() for each in tried):
            beyond = max(round(beyond), 1 if tried[0] >= 1 else 0)
        beyond = float(f"{beyond:.2g}") if isinstance(beyond, float) else beyond
        side, bound, outside = (
            ("upper", "up", beyond > tried[-1]) if higher else ("lower", "down", beyond < tried[0])
        )
        if outside:
            yield (
                "edge",
                f"{name} {words.value(value)} is at the {side} edge of what was tried: "
                f"try {bound} to {words.value(beyond)}",
            )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tried(frames: Frames, name: str, sampler: Sampler | None) -> list[int | float]:
    """The numbers that a parameter has had, or could have had, upwards."""
    seen = [c.config.get(name) for c in frames.sweep.history.configurations.values()]
    offered = sampler.extremes() if sampler else ()
    return sorted({value for value in (*seen, *offered) if _is_number(value)})


def _edge_of_range(value: float, sampler: Sampler) -> tuple[bool, float] | None:
    """Whether a value is at the upper end (True) or the lower (False), and a value beyond; None inside."""
    low, high = (float(end) for end in sampler.extremes())  # type: ignore[arg-type]
    log = KINDS[sampler.kind].log
    place = [math.log(each) if log else each for each in (low, value, high)]
    if place[2] <= place[0]:
        return None
    share = (place[1] - place[0]) / (place[2] - place[0])
    if share >= 1 - EDGE:
        return True, high * 10 if log else _upwards(high, high + (high - low) / 2)
    if share <= EDGE:
        return False, low / 10 if log else _downwards(low, low - (high - low) / 2)
    return None


def _edge_of_list(value: float, tried: Sequence[int | float]) -> tuple[bool, float] | None:
    """The same for one of several values: beyond lies as far as the last two are apart, or their ratio."""
    if len(tried) < FEWEST_VALUES or value not in (tried[0], tried[-1]):
        return None
    steps = np.diff(np.asarray(tried, dtype=np.float64))
    ratios = np.diff(np.log(tried)) if tried[0] > 0 else np.array([])
    geometric = len(ratios) > 0 and ratios.std() / ratios.mean() < steps.std() / steps.mean()
    if value == tried[-1]:
        return True, value * math.exp(ratios[-1]) if geometric else _upwards(value, value + steps[-1])
    return False, value * math.exp(-ratios[0]) if geometric else _downwards(value, value - steps[0])


def _upwards(edge: float, beyond: float) -> float:
    """A share stays one: what lies between 0 and 1 is widened towards 1."""
    return (edge + 1) / 2 if 0 <= edge <= 1 < beyond else beyond


def _downwards(edge: float, beyond: float) -> float:
    """What is above 0 stays so: it is widened towards 0."""
    return edge / 2 if beyond <= 0 <= edge else beyond


def _still_rising(frames: Frames, winner: int) -> Found:
    """Whether the mean curve of the space's metric has a slope in its last quarter: least squares, t test."""
    metric, curves = frames.sweep.space.metric, frames.curves
    if metric.name not in curves:
        return
    own = curves[curves["sample"] == winner]
    curve = own.groupby("epoch")[metric.name].mean().dropna().to_numpy(dtype=np.float64)
    window = max(FEWEST_EPOCHS, math.ceil(len(curve) / 4))
    last = curve[-window:]
    if len(curve) < window or np.ptp(last) == 0:
        return
    fit = linregress(np.arange(window), last)
    gain = fit.slope * (window - 1) * (1 if metric.mode == "max" else -1)
    share = words.is_share(metric.name)
    if fit.pvalue < LEVEL and gain >= GAIN * (1 if share else abs(last.mean())):
        verb = "rising" if metric.mode == "max" else "falling"
        much = f"{100 * gain:.1f} points" if share else f"{gain:.2g}"
        yield (
            "still_rising",
            f"{metric.name} was still {verb} at the last epoch (by {much} over the last {window}): "
            f"train longer, with --epochs {2 * frames.sweep.space.epochs}",
        )


def _overfitting(frames: Frames, winner: int) -> Found:
    train, val = (frames.replicates(winner, f"{split}_accuracy") for split in ("train", "val"))
    if len(train) and len(val) and train.mean() >= NEARLY_ALL and train.mean() - val.mean() >= GAP:
        yield (
            "overfitting",
            f"training accuracy {train.mean():.1%} against {val.mean():.1%} on validation: it overfits",
        )
