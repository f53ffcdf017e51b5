"""Warnings about a sweep's results, one function for each kind; most are about the chosen configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
from scipy.stats import linregress, norm

from tune_app.errors import RunError
from tune_app.results.frames import Frames
from tune_app.results.verdict import LEVEL, Verdict
from tune_app.space import KINDS, Sampler
from tune_app.space.labels import text
from tune_app.space.samplers import BELLS
from tune_app.stats.arithmetic import mean, to_decimals, to_digits
from tune_app.stats.intervals import quantile
from tune_app.stats.paired_tests import sample_size
from tune_app.sweep import Sweep, code
from tune_app.sweep.configurations import LARGEST
from tune_app.sweep.events import Created, Finished
from tune_app.sweep.paths import RunPaths, find_runs
from tune_app.sweep.record import read
from tune_app.text import counted

#: Fewer seeds give a wide interval; see docs/explanation/statistics.md.
FEW_SEEDS = 5

#: A curve still rises if its last quarter, of at least FEWEST_EPOCHS, rises by at least GAIN.
FEWEST_EPOCHS = 5
GAIN = 0.005

#: A seed has broken down if its value is below the median of its configuration by more than BREAKDOWN and by
#: more than DEVIATIONS robust standard deviations. A warning names the configuration if its median is at most
#: half of BREAKDOWN below the winner's.
BREAKDOWN, DEVIATIONS = 0.10, 4

#: Scales the median absolute deviation to the standard deviation of normal values.
_MAD = 1 / float(norm.ppf(0.75))

#: Training accuracy that counts as nearly all, and the gap to validation that counts as one.
NEARLY_ALL = 0.98
GAP = 0.05

#: A value this near to an end of a range, as a share of it, is at its edge; a list needs this many values.
EDGE = 0.05
FEWEST_VALUES = 3

#: How many configurations of one kind are named.
_NAMED = 3

_Z = float(norm.isf(LEVEL / 2))


@dataclass(frozen=True)
class ResultWarning:
    """One warning: ``kind`` for programs, ``text`` of one or two sentences, and the sample it is about."""

    kind: str
    text: str
    sample: int | None = None


def check(frames: Frames, verdict: Verdict, others: Sequence[str] | None = None) -> list[ResultWarning]:
    """The warnings about the choice, most important first; without a choice, only those about code.

    ``others`` are names of other runs on the same test set; left out, ``runs_on_same_test_set``.
    """
    found = [ResultWarning("code", said) for said in _code(frames)]
    if (winner := verdict.winner) is not None:
        kinds = {
            "worse_on_test": _worse_on_test(frames, verdict, winner),
            "seed_ignored": _seed_ignored(frames, verdict),
            "few_seeds": _few_seeds(verdict, winner),
            "breaks_down": _break_down(frames, verdict),
            "test_seen": _test_seen(
                frames, runs_on_same_test_set(frames.sweep) if others is None else others, winner
            ),
            "test_opened": _test_opened(frames.sweep),
            "small_validation": _small_validation(frames, verdict, winner),
            "edge": _edges(frames, winner),
            "still_rising": _still_rising(frames, winner),
            "overfitting": _overfitting(frames, winner),
        }
        found += [ResultWarning(kind, said, winner) for kind, texts in kinds.items() for said in texts]
    return found


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


def _code(frames: Frames) -> Iterator[str]:
    sweep = frames.sweep
    sessions, samples = code.mixture(sweep.history, sweep.space)
    if samples:
        named = code.name_samples(samples)
        yield f"the means of {named} mix seeds or epochs of different code"
    elif sessions:
        yield "the compared configurations were trained with different code"
    if name := sweep.header.confirms:
        try:
            confirmed = Sweep.open(sweep.paths.folder.parent / name)
        except RunError:
            confirmed = sweep
        if differing := code.differences(code.newest(confirmed.history), code.newest(sweep.history)):
            yield f"the code differs from that of {name}, which this run confirms: {', '.join(differing)}"
    alike: dict[str, list[str]] = {}
    for number, (began, differing) in sessions.items():
        alike.setdefault(", ".join(differing), []).append(f"session {number} ({began or 'undated'})")
    for what, which in alike.items():
        yield f"code that differs from the first session: {' and '.join(which)}: {what}"


def _worse_on_test(frames: Frames, verdict: Verdict, winner: int) -> Iterator[str]:
    # Neither which one nor by how much: that would let the test set choose.
    better = verdict.test.significantly_different(winner)[1] if verdict.test else []
    if better and frames.sweep.complete_and_trained():
        yield (
            "on the test set it is significantly worse than a configuration that validation ranks below it: "
            "validation and test data may differ in kind"
        )


def _seed_ignored(frames: Frames, verdict: Verdict) -> Iterator[str]:
    seeds = frames.seeds[frames.seeds["sample"].isin([each.sample for each in verdict.chosen.standings])]
    constant = (seeds.groupby("sample")[list(frames.metrics)].nunique() <= 1).all(axis=None)
    if constant and len(seeds) - len(verdict.chosen.standings) >= 2:  # one value twice may be chance
        yield (
            "every seed gives the same values in every configuration: the task seems to ignore its seed, and "
            "more seeds would show nothing new"
        )


def _few_seeds(verdict: Verdict, winner: int) -> Iterator[str]:
    n = verdict.chosen.standing(winner).n
    if verdict.chosen.seedless or n >= FEW_SEEDS:
        return
    if n == 1:
        yield f"only one seed: no interval, so luck cannot be excluded; use --seeds {FEW_SEEDS}"
    else:
        factor = quantile(1 - LEVEL, n - 1) / math.sqrt(n)
        yield (
            f"chosen on {n} seeds: an interval is ± {factor:.1f} standard deviations; "
            f"use --seeds {2 * FEW_SEEDS}"
        )


def _break_down(frames: Frames, verdict: Verdict) -> Iterator[str]:
    """Configurations that are about as good as the winner, but for some seeds that lie far below the others.

    The scale of an ordinary spread is a configuration's own median absolute deviation, or the median of
    all of them: of three seeds, two may be close by chance.
    """
    chosen = verdict.chosen
    if not frames.units.is_share(chosen.metric) or chosen.mode != "max":
        return
    values = {each.sample: np.array(each.values) for each in chosen.standings if each.n > 2}
    medians = {sample: float(np.median(found)) for sample, found in values.items()}
    spread = {sample: _MAD * float(np.median(np.abs(values[sample] - medians[sample]))) for sample in values}
    usual, named = float(np.median([*spread.values()] or [0.0])), []
    for sample, found in values.items():
        lead = medians.get(chosen.standings[0].sample, math.inf) - medians[sample]
        reach = max(BREAKDOWN, DEVIATIONS * max(spread[sample], usual))
        low = found[found < medians[sample] - reach]
        if lead <= BREAKDOWN / 2 and len(low):
            named.append((sample, len(low), len(found), float(low.min())))
    for sample, broken, n, lowest in named[:_NAMED]:
        reached = (
            frames.units.number(chosen.metric, lowest),
            frames.units.number(chosen.metric, medians[sample]),
        )
        missed = f"{100 * (1 - broken / n) ** n:.0f}%"
        yield (
            f"sample {sample} ({frames.name_of(sample)}) broke down on {broken} of {n} seeds: {reached[0]}%, "
            f"against a median of {reached[1]}%. With {n} seeds, a configuration that breaks down on "
            f"{broken} in {n} shows nothing of it in {missed} of sweeps, so others may do so too"
        )
    if len(named) > _NAMED:
        yield f"{counted(len(named) - _NAMED, 'further configuration')} broke down on some seeds"


def _test_seen(frames: Frames, others: Sequence[str], winner: int) -> Iterator[str]:
    looks = int(frames.seeds.loc[frames.seeds["sample"] == winner, "test_looks"].max())
    if looks > 1:
        yield f"its test set was evaluated {looks} times, because the run was extended after the first time"
    if others and frames.sweep.data.kind != "phantom":  # which anybody may look at, being drawn by code
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        yield (
            f"{counted(len(others), 'other sweep')} looked at this test set too ({named}): the best of "
            "several looks is optimistic"
        )


def _test_opened(sweep: Sweep) -> Iterator[str]:
    if times := sum(each.by != "paper" for each in sweep.test_openings):
        yield (
            f"the test figures of all configurations were opened {counted(times, 'time')}: what was decided "
            "since then may rest on the test set"
        )


def _small_validation(frames: Frames, verdict: Verdict, winner: int) -> Iterator[str]:
    metric, images = frames.sweep.space.metric.name, (frames.sweep.data.counts or {}).get("val")
    known = verdict.best_set or (winner,)
    rival = next((each.sample for each in verdict.chosen.standings if each.sample not in known), None)
    if not frames.units.is_share(metric) or not images or rival is None:
        return
    pair = verdict.chosen.pair(winner, rival) if verdict.chosen.pairs else None
    means = [verdict.chosen.standing(sample).mean for sample in (winner, rival)]
    difference = abs(means[0] - means[1] if pair is None else pair.difference)
    sd = _sd_of_an_image(verdict, winner, rival, means)
    reach = _Z * sd / math.sqrt(images)
    if 0 < difference < reach:
        wanted = int(sample_size(difference, sd, LEVEL, most=1_000_000))
        enough = f"about {_rounded(wanted):,}" if wanted > 0 else "more than a million"
        yield (
            f"{images} validation images are too few to show its lead of "
            f"{to_decimals(difference, 1, 2)} points: other "
            f"images would move it by ± {to_decimals(reach, 1, 2)}; {enough} are needed"
        )


def _sd_of_an_image(verdict: Verdict, winner: int, rival: int, means: Sequence[float]) -> float:
    """Spread of the difference on one image: as on the test set, else as of two that agree by chance."""
    test = verdict.test
    answer = test.pair(winner, rival).patients if test and test.pairs else None
    if test and answer and answer.half_width and test.images:
        return answer.half_width / _Z * math.sqrt(test.images)
    return math.sqrt(sum(mean * (1 - mean) for mean in means))


def _rounded(number: int) -> int:
    """Upwards to two digits: it is an estimate."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _still_rising(frames: Frames, winner: int) -> Iterator[str]:
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
            f"{metric.name} was still {verb} at the last epoch (by {much} over the last {window}): "
            f"train longer, with --epochs {2 * frames.sweep.space.epochs}"
        )


def _overfitting(frames: Frames, winner: int) -> Iterator[str]:
    names = ("train_accuracy", "val_accuracy")
    values = [frames.replicates(winner, name) for name in names]
    if not all(map(len, values)) or not all(map(frames.units.is_share, names)):
        return
    train, val = map(mean, values)
    if train >= NEARLY_ALL and train - val >= GAP:
        trained, validated = to_decimals(train, 1, 2), to_decimals(val, 1, 2)
        yield f"training accuracy {trained}% against {validated}% on validation: it overfits"


def _edges(frames: Frames, sample: int) -> Iterator[str]:
    """A sentence for each number of a configuration that is at the edge, with a value to try beyond it."""
    space = frames.sweep.space
    if frames.sweep.header.confirms:  # which tries a choice of what was tried
        return
    configurations = frames.sweep.history.configurations
    for name in frames.varying:
        value, sampler = configurations[sample].config.get(name), space.space.get(name)
        if not _is_number(value) or (sampler and sampler.kind in BELLS):  # a bell has no edge
            continue
        offered = sampler.extremes() if sampler else ()
        seen = [each.config.get(name) for each in configurations.values()]
        tried = sorted({each for each in (*seen, *offered) if _is_number(each)})
        if max(map(abs, tried)) > LARGEST:  # steps and ratios need not be finite, nor a value any float
            continue
        if sampler and sampler.kind not in ("grid", "choice"):
            edge = _edge_of_range(float(value), sampler)
        else:
            edge = _edge_of_list(float(value), tried)
        if edge is None:
            continue
        higher, beyond = edge
        if all(float(each).is_integer() for each in tried):
            beyond = max(round(beyond), 1 if tried[0] >= 1 else 0)
        else:
            beyond = float(f"{beyond:.2g}")
        if beyond > tried[-1] if higher else beyond < tried[0]:
            side, bound = ("upper", "up") if higher else ("lower", "down")
            yield (
                f"{name} {frames.labels.value(name, value)} is at the {side} edge of what was tried: "
                f"try {bound} to {text(beyond)}"
            )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _edge_of_range(value: float, sampler: Sampler) -> tuple[bool, float] | None:
    """Whether a value is at the upper end (True) or the lower (False), and a value beyond; None inside."""
    low, high = (float(end) for end in sampler.extremes())  # type: ignore[arg-type]
    log = KINDS[sampler.kind].log
    start, place, end = (math.log(each) if log else each for each in (low, value, high))
    if end <= start:
        return None
    share = (place - start) / (end - start)
    if share >= 1 - EDGE:
        return True, high * 10 if log else _within_shares(high, high + (high - low) / 2)
    if share <= EDGE:
        return False, low / 10 if log else _within_shares(low, low - (high - low) / 2)
    return None


def _edge_of_list(value: float, tried: Sequence[int | float]) -> tuple[bool, float] | None:
    """The same for one of several values: beyond lies as far as the last two are apart, or their ratio."""
    if len(tried) < FEWEST_VALUES or value not in (tried[0], tried[-1]):
        return None
    numbers = np.asarray(tried, dtype=np.float64)
    steps = np.diff(numbers)
    ratios = np.diff(np.log(numbers)) if tried[0] > 0 else np.array([])
    geometric = len(ratios) > 0 and ratios.std() / ratios.mean() < steps.std() / steps.mean()
    if value == tried[-1]:
        return True, value * math.exp(ratios[-1]) if geometric else _within_shares(value, value + steps[-1])
    return False, value * math.exp(-ratios[0]) if geometric else _within_shares(value, value - steps[0])


def _within_shares(edge: float, beyond: float) -> float:
    """A share stays one, and what is above 0 stays so: it is widened half of the way to 1, or to 0."""
    if 0 <= edge <= 1 < beyond:
        return (edge + 1) / 2
    return edge / 2 if beyond <= 0 <= edge else beyond
