"""The checks of a sweep's results, one function per warning.

Most check the chosen configuration. All but ``runs_on_same_test_set`` are functions of the frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import linregress, norm

from tune_app.errors import RunError
from tune_app.results import Frames
from tune_app.results.verdict import LEVEL, Verdict
from tune_app.results.warnings import edges
from tune_app.stats.arithmetic import mean, to_decimals, to_digits
from tune_app.stats.intervals import quantile
from tune_app.stats.power import sample_size
from tune_app.sweep import Sweep, code
from tune_app.sweep.events import Created, Finished
from tune_app.sweep.paths import RunPaths, find_runs
from tune_app.sweep.record import read
from tune_app.text import counted

#: Fewer seeds give a wide interval; see docs/statistics.md.
FEW_SEEDS = 5

#: A curve still rises if its last quarter, of at least FEWEST_EPOCHS, rises by at least GAIN.
FEWEST_EPOCHS = 5
GAIN = 0.005

#: Training accuracy that counts as nearly all, and the gap to validation that counts as one.
NEARLY_ALL = 0.98
GAP = 0.05

_Z = float(norm.isf(LEVEL / 2))


@dataclass(frozen=True)
class ResultWarning:
    """One warning: ``kind`` for programs, ``text`` of one or two sentences, and the sample it is about."""

    kind: str
    text: str
    sample: int | None = None


def check(frames: Frames, verdict: Verdict, others: Sequence[str] = ()) -> list[ResultWarning]:
    """The warnings about the choice, most important first; without a choice, only those about code.

    Args:
        frames: the sweep.
        verdict: ``verdict.judge`` of the same frames.
        others: names of other runs that were evaluated on the same test set: ``runs_on_same_test_set``.
    """
    mixed = [ResultWarning("code", text) for text in _code(frames)]
    if verdict.winner is None:
        return mixed
    found = [
        *_worse_on_test(frames, verdict, verdict.winner),
        *_seed_ignored(frames, verdict),
        *_few_seeds(verdict, verdict.winner),
        *_seen(frames, others, verdict.winner),
        *_small_validation(frames, verdict, verdict.winner),
        *_edges(frames, verdict.winner),
        *_still_rising(frames, verdict.winner),
        *_overfitting(frames, verdict.winner),
    ]
    return mixed + [ResultWarning(kind, text, verdict.winner) for kind, text in found]


def runs_on_same_test_set(sweep: Sweep) -> list[str]:
    """Names of the other runs in the folder with finished trials on the same data, newest first.

    A run and the runs that confirm it count as one. Runs whose record cannot be read are skipped.
    """
    if not sweep.data.fingerprint:
        return []
    family = sweep.header.confirms or sweep.name
    runs = find_runs(sweep.paths.folder.parent)
    return [
        run.name for run in runs if run.name != family and _has_looked(run, sweep.data.fingerprint, family)
    ]


def _has_looked(folder: Path, fingerprint: str, family: str) -> bool:
    try:
        for _, event in read(RunPaths(folder).record):
            if isinstance(event, Created):
                if event.data.fingerprint != fingerprint or event.confirms == family:
                    return False
            elif isinstance(event, Finished):
                return True
    except RunError:
        return False
    return False


Found = Iterator[tuple[str, str]]


def _worse_on_test(frames: Frames, verdict: Verdict, winner: int) -> Found:
    """What was chosen on validation data is worse on the test set, by more than chance, than another."""
    if verdict.test is None:
        return
    _, better = verdict.test.significantly_different(winner)
    if better:
        others = counted(len(better), "configuration")
        yield (
            "worse_on_test",
            f"on the test set it is worse than {others} that validation ranks below it, such as sample "
            f"{better[0]} ({frames.name_of(better[0])}): validation and test data may differ in kind",
        )


def _seed_ignored(frames: Frames, verdict: Verdict) -> Found:
    """Whether no metric of any configuration changes with the seed."""
    seeds = frames.seeds[frames.seeds["sample"].isin([each.sample for each in verdict.chosen.standings])]
    constant = (seeds.groupby("sample")[list(frames.metrics)].nunique() <= 1).all(axis=None)
    if constant and len(seeds) - len(verdict.chosen.standings) >= 2:  # one value twice may be chance
        yield (
            "seed_ignored",
            "every seed gives the same values in every configuration: the task seems to ignore its seed, and "
            "more seeds would show nothing new",
        )


def _code(frames: Frames) -> Iterator[str]:
    """Which sessions trained other code than the first, and whose means are of both."""
    sweep = frames.sweep
    found = code.mixture(sweep.history, sweep.space.replicate_numbers)
    if found.samples:
        named = code.name_samples(found.samples)
        yield f"the means of {named} have seeds or epochs of differing code: they describe neither"
    elif found.sessions:
        yield "configurations are compared that were trained with differing code"
    if (name := sweep.header.confirms) and (confirmed := _beside(sweep, name)):
        differing = code.run_differences(confirmed.history, sweep.history)
        if differing:
            yield f"the code differs from that of {name}, which this run confirms: {', '.join(differing)}"
    alike: dict[str, list[str]] = {}
    for number, (began, differing) in found.sessions.items():
        alike.setdefault(", ".join(differing), []).append(f"session {number} ({began or 'undated'})")
    for what, sessions in alike.items():
        yield f"other code than in the first session: {' and '.join(sessions)}: {what}"


def _beside(sweep: Sweep, name: str) -> Sweep | None:
    try:
        return Sweep.open(sweep.paths.folder.parent / name)
    except RunError:
        return None


def _few_seeds(verdict: Verdict, winner: int) -> Found:
    n = verdict.chosen.standing(winner).n
    if verdict.chosen.seedless:
        return
    if n == 1:
        yield (
            "few_seeds",
            f"one seed only: no interval, and luck is not told from merit; use --seeds {FEW_SEEDS}",
        )
    elif n < FEW_SEEDS:
        factor = quantile(1 - LEVEL, n - 1) / math.sqrt(n)
        yield (
            "few_seeds",
            f"chosen on {n} seeds: an interval reaches {factor:.1f} standard deviations either way; "
            f"use --seeds {2 * FEW_SEEDS}",
        )


def _seen(frames: Frames, others: Sequence[str], winner: int) -> Found:
    looks = int(frames.seeds.loc[frames.seeds["sample"] == winner, "test_looks"].max())
    if looks > 1:
        yield (
            "test_seen",
            f"the test set was looked at {looks} times for it, for it was extended after the first look",
        )
    if others and frames.sweep.data.kind != "phantom":  # which anybody may look at, being drawn by code
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        yield (
            "test_seen",
            f"{counted(len(others), 'other sweep')} looked at this test set too ({named}): the best of "
            "several looks flatters",
        )


def _small_validation(frames: Frames, verdict: Verdict, winner: int) -> Found:
    """The difference that the choice rests on, against what other validation images would do to it."""
    metric, images = frames.sweep.space.metric.name, (frames.sweep.data.counts or {}).get("val")
    rival = next(
        (s.sample for s in verdict.chosen.standings if s.sample != winner and s.sample not in verdict.tied),
        None,
    )
    if not frames.units.is_share(metric) or not images or rival is None:
        return
    pair = verdict.chosen.pair(winner, rival) if verdict.chosen.pairs else None
    means = [verdict.chosen.standing(sample).mean for sample in (winner, rival)]
    difference = abs(means[0] - means[1] if pair is None else pair.difference)
    sd = _sd_of_an_image(verdict, winner, rival, means)
    reach = _Z * sd / math.sqrt(images)
    if difference == 0 or difference >= reach:
        return
    wanted = int(sample_size(difference, sd, LEVEL, most=1_000_000))
    enough = f"about {_rounded(wanted):,}" if wanted > 0 else "more than a million"
    yield (
        "small_validation",
        f"{images} validation images cannot show its lead of {to_decimals(difference, 1, 2)} points: others "
        f"would move it by ± {to_decimals(reach, 1, 2)}; it takes {enough}",
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
    if not frames.sweep.header.confirms:  # which tries a choice of what was tried
        for text in edges.at_the_edge(frames, winner):
            yield "edge", text


def _still_rising(frames: Frames, winner: int) -> Found:
    """Whether the mean curve of the space's metric has a slope in its last quarter: least squares, t test."""
    metric, curves = frames.sweep.space.metric, frames.filled_curves
    if metric.name not in curves:
        return
    own = curves[curves["sample"] == winner]
    curve = own.groupby("epoch")[metric.name].mean().dropna().to_numpy(dtype=np.float64)
    window = max(FEWEST_EPOCHS, math.ceil(len(curve) / 4))
    last = curve[-window:]
    if len(curve) < window or np.ptp(last) == 0:
        return
    fit = linregress(np.arange(window), last)
    gain = fit.slope * (window - 1) * metric.sign
    share = frames.units.is_share(metric.name)
    if fit.pvalue < LEVEL and gain >= GAIN * (1 if share else abs(last.mean())):
        verb = "rising" if metric.mode == "max" else "falling"
        much = f"{to_decimals(gain, 1, 2)} points" if share else to_digits(gain, 2)
        yield (
            "still_rising",
            f"{metric.name} was still {verb} at the last epoch (by {much} over the last {window}): "
            f"train longer, with --epochs {2 * frames.sweep.space.epochs}",
        )


def _overfitting(frames: Frames, winner: int) -> Found:
    names = ("train_accuracy", "val_accuracy")
    train, val = (frames.replicates(winner, name) for name in names)
    if not len(train) or not len(val) or not all(map(frames.units.is_share, names)):
        return
    if mean(train) >= NEARLY_ALL and mean(train) - mean(val) >= GAP:
        trained, validated = (to_decimals(mean(values), 1, 2) for values in (train, val))
        yield (
            "overfitting",
            f"training accuracy {trained}% against {validated}% on validation: it overfits",
        )
