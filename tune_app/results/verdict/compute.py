"""Computes the verdict on a sweep from its frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app import results
from tune_app.results import Frames
from tune_app.results.frames import common
from tune_app.results.verdict.looks import left_before, of_the_set, taken
from tune_app.results.verdict.model import (
    CANDIDATES,
    LEVEL,
    MOST,
    Comparison,
    Equivalence,
    Pair,
    PairTest,
    Standing,
    Verdict,
    sign,
)
from tune_app.space import SearchSpace
from tune_app.stats import best_set, equivalence, multiple_testing, paired_tests, winner_estimate
from tune_app.stats import looks as sequential
from tune_app.stats.arithmetic import mean
from tune_app.stats.intervals import mean_interval, wilson
from tune_app.stats.looks import Look
from tune_app.stats.paired_tests import Pairwise, over_patients
from tune_app.stats.patients import FEWEST_SEEDS, PatientGroups, components
from tune_app.stats.per_image import per_image
from tune_app.stats.units import named_share, on_test_set, parted
from tune_app.stats.winner_estimate import WinnerEstimate
from tune_app.text import counted

#: With fewer right or wrong answers, an interval over patients is not reliable.
FEWEST_ANSWERS = 10

#: This many values that are equal over the seeds are not equal by chance, even if values come in steps.
FEWEST_COINCIDENCES = 4

#: Fewer patients are no sample of other patients.
FEWEST_PATIENTS = 10

#: Tolerance between a metric computed from the scores and the recorded one: float32 sums in another order.
_CLOSE = 1e-4

#: Limits of ``PairTest.needed``.
SEEDS_AT_MOST = 1000
TIMES_AS_MANY_PATIENTS = 100

Values = Mapping[int, "pd.Series[float]"]


def judge(
    frames: Frames, metric: str | None = None, *, test: bool = True, margin: float | None = None
) -> Verdict:
    """Judge the finished configurations: by what they are chosen by, and all pairs on the test set.

    ``metric`` is the test metric to compare by; left out, the space's own, or the accuracy where that has no
    counterpart on the test set. ``margin``, in the unit in which the space's metric is shown, asks which
    configurations differ from the winner by less. Raises RunError where the test scores or the test images
    are damaged; without ``test``, which reads neither, never. The same question is answered once.
    """
    asked = (metric, test, margin)
    if asked not in frames.verdicts:
        frames.verdicts[asked] = _judge(frames, metric, test, margin)
    verdict: Verdict = frames.verdicts[asked]
    return verdict


def _judge(frames: Frames, metric: str | None, test: bool, margin: float | None) -> Verdict:
    ranked = results.ranked(frames)
    own = ranked[ranked["twin"].isna()]
    samples = [int(sample) for sample in own["sample"]][:CANDIDATES]
    own_metric = frames.sweep.space.metric.name
    values = _values(frames, samples, frames.choice_of(own_metric))
    looks = taken(frames.sweep)
    chosen = _compare(frames, values, own_metric, looks)
    tested = None
    if test:
        metric = metric or _test_metric(frames)
        known = [sample for sample in samples if frames.opened is None or sample in frames.opened]
        tested = _compare(frames, _values(frames, known, metric), metric, looks)
    return Verdict(
        chosen.standings[0].sample if chosen.standings else None,
        chosen,
        _expected(values, sign(chosen.mode)),
        tested if tested and tested.standings else None,
        None if margin is None else _equivalence(frames, values, chosen.metric, margin),
        looks,
        (*_left_out(len(own), len(ranked)), *_interim(looks)),
    )


def _values(frames: Frames, samples: Sequence[int], metric: str) -> Values:
    return {sample: frames.replicates(sample, metric) for sample in samples}


def _expected(values: Values, sign: int) -> WinnerEstimate | None:
    if len(values) < 2:
        return None
    found = winner_estimate.expected(sign * common(_as_many(values)))
    return found and WinnerEstimate(sign * found.mean, found.half_width)


def _as_many(values: Values) -> list[pd.Series[float]]:
    """Those with at least as many replicates as the winner, which settling may have given more."""
    fewest = len(next(iter(values.values())))
    return [found for found in values.values() if len(found) >= fewest]


def _equivalence(frames: Frames, values: Values, metric: str, margin: float) -> Equivalence | None:
    if not values:
        return None
    winner, *others = values
    step = frames.units.step(metric, (float(value) for found in values.values() for value in found))
    p = {}
    for other in others:
        shared = common([values[winner], values[other]])
        if shared.shape[1] < 2:
            return None
        p[other] = float(equivalence.p_values(shared, margin / frames.units.scale(metric), step)[0, 1])
    adjusted = multiple_testing.holm([*p.values()])
    shown = tuple(other for other, each in zip(p, adjusted, strict=True) if each <= LEVEL)
    return Equivalence(margin, shown, len(others))


def _test_metric(frames: Frames) -> str:
    counterpart = on_test_set(frames.sweep.space.metric.name)
    return counterpart if counterpart in frames.seeds else "test_accuracy"


def _left_out(own: int, ranked: int) -> Iterator[str]:
    if own < ranked:
        repeats = counted(ranked - own, "configuration")
        yield f"Not compared, because they repeat another configuration: {repeats}."
    if own > MOST:
        yield f"Of {own} finished configurations the best {MOST} are compared with one another."
    if own > CANDIDATES:
        yield f"The set that may hold the best is of the {CANDIDATES} with the best means."


def _interim(looks: Sequence[Look]) -> Iterator[str]:
    if len(looks) > 1:
        *most, last = [f"{look.replicates}" for look in looks[:-1]]
        before = (
            f"interim verdicts with {', '.join(most)} and {last}"
            if most
            else f"an interim verdict with {last}"
        )
        yield (
            f"This is look {len(looks)} of this run: seeds were added after {before} seeds. "
            "All looks together keep the error probability at 5%, so what left the set stays out, and "
            "only a clearer difference is significant now."
        )


def _compare(frames: Frames, every: Values, metric: str, looks: Sequence[Look]) -> Comparison:
    candidates = {sample: found for sample, found in every.items() if len(found)}
    values = dict(list(candidates.items())[:MOST])
    notes = []
    if 0 < len(candidates) < len(every):
        lacking = counted(len(every) - len(candidates), "configuration")
        notes.append(f"Not compared, because they have no {metric}: {lacking}.")
    unanswered, history = {}, frames.sweep.history
    evidence = _gather(frames, list(values), metric)
    if isinstance(evidence, Evidence):
        notes.append(evidence.in_words())
    else:
        unanswered["patients"] = evidence
    step = frames.units.step(metric, (float(value) for found in values.values() for value in found))
    seedless = _seedless(values, step)
    step = 0.0 if seedless else step
    seeds, patients = _over_seeds(values, looks, step), _over_patients(evidence)
    direction = mode(frames.sweep.space, metric)
    best_sets = {}
    if seeds is None:
        unanswered["seeds"] = "one seed shows no spread: use at least two seeds, better five"
    else:
        signed = sign(direction) * _by_replicate(candidates)
        left = left_before(frames.sweep)
        compared = np.array([sample not in left for sample in candidates])
        members = compared.copy()
        members[compared] = sequential.members(signed[compared], of_the_set(frames.sweep), step)
        behind = [history.left_behind(history.configurations[sample]) for sample in candidates]
        means = np.where(behind, -np.inf, np.nanmean(signed, axis=1))
        members[means.argmax()] = True  # it may have left at an earlier look
        best_sets["seeds"] = tuple(np.array(list(candidates))[members].tolist())
    if isinstance(evidence, Evidence) and evidence.values:
        members = best_set.over_patients(sign(direction) * _means(evidence), evidence.units)
        best_sets["patients"] = tuple(np.array(list(values))[members].tolist())
    places = list(combinations(range(len(values)), 2))
    letters: dict[str, list[str]] = {}
    for question, tests in (("seeds", seeds), ("patients", patients)):
        if tests:
            apart = [place for place, test in zip(places, tests, strict=True) if test.significant]
            letters[question] = multiple_testing.letters(len(values), apart)
    standings = tuple(
        _standing(
            frames, sample, of_sample, evidence, metric, {name: found[i] for name, found in letters.items()}
        )
        for i, (sample, of_sample) in enumerate(values.items())
    )
    pairs = tuple(
        Pair(
            standings[one].sample,
            standings[other].sample,
            standings[one].mean - standings[other].mean,
            seeds[number] if seeds else None,
            patients[number] if patients else None,
        )
        for number, (one, other) in enumerate(places if letters else ())
    )
    units = evidence.units if isinstance(evidence, Evidence) else None
    return Comparison(
        metric,
        direction,
        seedless,
        standings,
        pairs,
        best_sets,
        candidates=len(candidates),
        images=len(units.patient) if units else None,
        patients=units.count if units else None,
        unanswered=unanswered,
        notes=tuple(notes),
    )


def mode(space: SearchSpace, metric: str) -> str:
    """Whether ``max`` or ``min`` is better: as for a metric of the space of that name, on whatever split."""
    for each in space.metrics:
        if metric == each.name or parted(metric)[2] == parted(each.name)[2]:
            return each.mode
    return "max" if named_share(metric) else "min"


def _seedless(values: Values, step: float) -> bool:
    """Whether no seed changes a value. Values in steps can be equal by chance, so more of them are needed.

    A share of 0 or 1 does not count: an easy task has it with every seed.
    """
    constant = {sample: set(found) for sample, found in values.items()}
    if any(len(found) > 1 for found in constant.values()):
        return False
    inside = [
        len(values[sample]) - 1 for sample, found in constant.items() if not step or found - {0, 1, 100}
    ]
    return sum(inside) >= (FEWEST_COINCIDENCES if step else 1)


def _over_seeds(values: Values, looks: Sequence[Look], step: float) -> list[PairTest] | None:
    if not values or common(values.values()).shape[1] < 2:
        return None
    found = sequential.pairs(_by_replicate(values), looks, 1 - LEVEL, step)
    return _answers(found, np.asarray(found.freedom) + 1, 1, SEEDS_AT_MOST)


def _by_replicate(values: Values) -> NDArray[np.float64]:
    """(K, R), NaN where a configuration has not trained a replicate that another one has."""
    return pd.concat(values.values(), axis=1).sort_index().to_numpy(dtype=np.float64).T


def _means(evidence: Evidence) -> NDArray[np.float64]:
    """(K, M): what each configuration makes of each image, over its replicates."""
    return np.stack([values.mean(axis=0) for values in evidence.values.values()])


def _over_patients(evidence: Evidence | str) -> list[PairTest] | None:
    if isinstance(evidence, str) or not evidence.values:
        return None
    count = evidence.units.count
    found = over_patients(_means(evidence), evidence.units, 1 - LEVEL)
    spent = count - evidence.units.freedom
    return _answers(found, np.full(len(found.p), count), spent, TIMES_AS_MANY_PATIENTS * count)


def _answers(found: Pairwise, counts: NDArray[np.intp], spent: int, most: int) -> list[PairTest]:
    needed = _needed(found, counts, spent, most, LEVEL / max(1, len(found.p)))
    return [
        PairTest(
            float(half_width) if error else None,
            float(p),
            float(adjusted),
            None if adjusted < LEVEL else int(number),
            bool(constant),
        )
        for error, half_width, p, adjusted, number, constant in zip(
            found.error, found.half_width, found.p, found.adjusted, needed, found.constant, strict=True
        )
    ]


def _needed(
    found: Pairwise, counts: NDArray[np.intp], spent: int, most: int, level: float
) -> NDArray[np.int64]:
    """By the t test; by the sign test if nothing varies; -1 if there is no difference."""
    constant = found.error == 0
    sd = np.where(constant, 1.0, found.error * np.sqrt(counts))
    by_t = paired_tests.sample_size(found.difference, sd, level, most=most, spent=spent)
    by_sign = np.where(found.difference == 0, -1, math.ceil(1 - math.log2(level)))
    return np.where(constant, by_sign, by_t)


def _standing(
    frames: Frames,
    sample: int,
    found: pd.Series[float],
    evidence: Evidence | str,
    metric: str,
    letters: Mapping[str, str],
) -> Standing:
    values = found.tolist()
    middle = mean(values)
    both = images = None
    if not isinstance(evidence, str):
        outcomes = evidence.values[sample]
        count = outcomes.shape[1]
        if evidence.shares and len(outcomes) == 1:
            images = wilson(int(outcomes.sum()), count, 1 - LEVEL)
        fewer = min(middle, 1 - middle) * count
        if len(outcomes) >= FEWEST_SEEDS and not (frames.units.is_share(metric) and fewer < FEWEST_ANSWERS):
            both = float(components(outcomes, evidence.units).half_width(1 - LEVEL))
    half_width = mean_interval(values, 1 - LEVEL).half_width
    return Standing(sample, frames.config(sample), tuple(values), middle, half_width, both, images, letters)


@dataclass(frozen=True)
class Evidence:
    """``values`` by sample, (R, M), of the M images that count for a metric; ``shares``: each is 0 or 1."""

    values: Mapping[int, NDArray[np.float64]]
    units: PatientGroups
    shares: bool

    def in_words(self) -> str:
        """How images are grouped into patients, as a sentence."""
        images = counted(len(self.units.patient), "test image")
        if self.units.count == len(self.units.patient):
            return f"Patients: each of the {images} counts as a patient, being the only one or naming none."
        return f"Patients: {images} of {counted(self.units.count, 'patient')}."


def _gather(frames: Frames, samples: Sequence[int], metric: str) -> Evidence | str:
    """The outcomes of some finished configurations, or the reason why there are none, as a clause.

    There are none if the scores do not give the recorded metric: a task may order its test images otherwise
    than the data.
    """
    if not metric.startswith("test_"):
        return "predictions of single images are recorded only for the test set"
    images = frames.test_images()
    if images is None:
        return "the run has no list of its test images"
    labels = images["label"].to_numpy(dtype=np.int64)
    values: dict[int, NDArray[np.float64]] = {}
    rows, shares = np.arange(len(labels)), False
    for sample in samples:
        recorded = frames.replicates(sample, metric).to_numpy()
        scores = frames.scores(sample)
        if scores.shape[:2] != (len(recorded), len(labels)):
            return "the run does not have the scores of all test images"
        found = per_image(metric, scores, labels)
        if found is None:
            return f"{metric} is not a mean over single images"
        if not np.allclose(found.values.mean(axis=1), recorded, rtol=_CLOSE, atol=1e-6):
            return f"the recorded scores do not give the recorded {metric}"
        values[sample], rows, shares = found.values, found.rows, found.shares
    units = PatientGroups.of(labels, images["patient"].tolist()).take(rows)
    if units.count < FEWEST_PATIENTS:
        few = counted(units.count, "patient")
        return f"{few} are too few to stand for others: at least {FEWEST_PATIENTS} are needed"
    return Evidence(values, units, shares)
