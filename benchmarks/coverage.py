"""Do the intervals cover, do the tests hold their level, do they find what is there?

``python -m benchmarks.coverage`` draws 10,000 sweeps with a known truth for each line, lets the functions
that the product uses judge them, prints the table and writes ``benchmarks/results/coverage.md``. It takes
a minute or two on one core; every draw is seeded, so the same versions give the same figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks.simulate import DRAWS, Truth, accuracies, generator, portions, several_images, single_images
from tune_app.results.verdict import LEVEL, MOST
from tune_app.session import provenance
from tune_app.stats import intervals, paired_tests
from tune_app.stats.intervals import mean_interval, prediction_interval_of_one_run
from tune_app.stats.paired_tests import Pairwise, over_patients, power
from tune_app.stats.patients import FEWEST_SEEDS, components
from tune_app.stats.per_image import per_image as outcomes_of

Floats = NDArray[np.float64]
Hits = NDArray[np.float64] | NDArray[np.bool_]

RESULTS = Path(__file__).parent / "results" / "coverage.md"

COVERS = (93.0, 97.0)
FALSE_ALARMS = (0.0, 6.0)
FOUND = (80.0, 100.0)


@dataclass(frozen=True)
class Line:
    """One line of the table: a share in per cent, and between which ends it was promised to lie.

    Without a promise (None) the line is there for comparison.
    """

    section: str
    cell: str
    measured: float
    promised: tuple[float, float] | None

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return self.promised is None or self.promised[0] <= self.measured <= self.promised[1]

    def cells(self) -> tuple[str, str, str, str]:
        """The line as text."""
        if self.promised is None:
            return self.cell, f"{self.measured:.1f}", "", ""
        low, high = self.promised
        return self.cell, f"{self.measured:.1f}", f"{low:.1f} to {high:.1f}", "yes" if self.kept else "NO"


def _line(section: str, cell: str, hits: Sequence[Hits], promised: tuple[float, float] | None) -> Line:
    return Line(section, cell, 100 * float(np.concatenate([np.ravel(hit) for hit in hits]).mean()), promised)


# ---------------------------------------------------------------- intervals


def over_seeds(draws: int = DRAWS) -> Iterator[Line]:
    """``mean_interval``: accuracies on 400 images, spread by 3 points between seeds."""
    section = "Interval of a mean over seeds"
    for seeds in (2, 3, 4, 5, 10, 20):
        values = accuracies(generator("t", seeds), (draws, 1, seeds), 0.78, 0.03)[:, 0]
        yield _line(section, f"t, {seeds} seeds", [_t_covers(values, 0.78)], COVERS)
    values = accuracies(generator("t", "grid"), (draws, 1, 3), 0.78, 0.004)[:, 0]
    yield _line(section, "t, 3 seeds, sd 0.4 points: 1.6 images", [_t_covers(values, 0.78)], COVERS)
    for seeds in (3, 5, 10):
        rng = generator("collapse", seeds)
        values = accuracies(rng, (draws, 1, seeds), 0.78, 0.03)[:, 0]
        values = np.where(rng.random(values.shape) < 0.2, 0.5, values)
        cell = f"not promised: {seeds} seeds, 1 in 5 learns nothing"
        yield _line(section, cell, [_t_covers(values, 0.8 * 0.78 + 0.2 * 0.5)], None)
    for seeds in (3, 5, 10):
        values = accuracies(generator("t", seeds), (min(draws, 2000), 1, seeds), 0.78, 0.03)[:, 0]
        ends = bootstrap(
            (values,), np.mean, axis=-1, method="percentile", n_resamples=999, batch=100, rng=generator("b")
        ).confidence_interval
        covered = np.asarray((ends.low <= 0.78) & (ends.high >= 0.78))
        yield _line(section, f"for comparison: bootstrap of {seeds} seeds", [covered], None)


def _t_covers(values: Floats, expected: float) -> Hits:
    found = [mean_interval(row.tolist()) for row in values]
    mean, reach = np.array([[each.mean or 0.0, each.half_width or 0.0] for each in found]).T
    return np.asarray(abs(mean - expected) <= reach + 1e-12)


def of_one_run(draws: int = DRAWS) -> Iterator[Line]:
    """``prediction_interval_of_one_run``: where one more run ends, on 400 images of its own."""
    section = "Range of one further run (as published figures are)"
    for seeds in (3, 5, 10):
        for sd in (0.005, 0.02):
            rng = generator("one", seeds, sd)
            skill = np.clip(rng.normal(0.78, sd, (draws, seeds + 1)), 0, 1)
            one = rng.binomial(400, skill[:, -1]) / 400
            ends = [prediction_interval_of_one_run(row[:-1].tolist(), 400) or (1, 0) for row in skill]
            low, high = np.array(ends).T
            cell = f"{seeds} seeds, sd {100 * sd:g} points"
            yield _line(section, cell, [(low <= one) & (one <= high)], (93.5, 98.5))


def of_images(draws: int = DRAWS) -> Iterator[Line]:
    """``wilson``: one accuracy over its images."""
    wilson = lru_cache(maxsize=None)(intervals.wilson)
    for images in (200, 400):
        for share in (0.5, 0.77, 0.93, 0.97):
            right = generator("wilson", images, share).binomial(images, share, draws)
            low, high = np.array([wilson(int(each), images) for each in right]).T
            cell = f"Wilson, {share:.0%} of {images} images"
            yield _line("Interval of one accuracy", cell, [(low <= share) & (share <= high)], COVERS)


def over_both(draws: int = DRAWS) -> Iterator[Line]:
    """``components``: seeds and patients at once."""
    section = "Interval over seeds and patients"
    single, several = single_images(), several_images()
    truths = {
        "no seed effect": Truth(seed=0.0),
        "seed sd 1.5 points": Truth(seed=0.08),
        "seed sd 5 points": Truth(seed=0.27),
    }
    cells = [
        (f"{words}, {name}, {seeds} seeds", truth, units, seeds)
        for words, units in (
            ("400 patients", single),
            (f"{several.count} patients of 1 to 4 images", several),
        )
        for name, truth in truths.items()
        for seeds in (3, 5, 10, 20)
    ]
    unlike = Truth(easy=(0.3, 3.0), seed=0.08, bias=0.15)
    cells += [
        (f"400 patients, 57% and 98% right by class, {seeds} seeds", unlike, single, seeds)
        for seeds in (3, 5)
    ]
    good = Truth(easy=(2.8, 2.8))
    cells += [(f"400 patients, 97% right, {seeds} seeds", good, single, seeds) for seeds in (3, 5)]
    few = single_images(60)
    cells += [(f"60 patients, {seeds} seeds", Truth(), few, seeds) for seeds in (3, 5)]
    cells += [
        (f"not given: 400 patients, {name}, 2 seeds", truth, single, 2) for name, truth in truths.items()
    ]
    for cell, truth, units, seeds in cells:
        hits = []
        for portion, rng in _streams(draws, "both", cell):
            found = components(truth.right(rng, units, portion, seeds), units)
            hits.append(abs(found.mean - truth.accuracy(units)) <= found.half_width())
        yield _line(section, cell, hits, COVERS if seeds >= FEWEST_SEEDS else None)
    for seeds in (3, 5):
        cell = f"AUC, {several.count} patients of 1 to 4 images, {seeds} seeds"
        hits, truth = [], Truth(patient=0.5, image=0.5)
        for portion, rng in _streams(draws, "auc", cell):
            scores = truth.scores(rng, several, portion, seeds).reshape(portion * seeds, -1)
            outcomes = outcomes_of("test_auc", scores.astype(np.float32), several.label.astype(np.int64))
            assert outcomes is not None
            found = components(outcomes.values.reshape(portion, seeds, -1), several)
            hits.append(abs(found.mean - truth.auc()) <= found.half_width())
        yield _line(section, cell, hits, COVERS)


def _streams(draws: int, *name: object) -> Iterator[tuple[int, np.random.Generator]]:
    rng = generator(*name)
    for portion in portions(draws):
        yield portion, rng


# ---------------------------------------------------------------- tests


def any_apart(found: Pairwise) -> Floats:
    """Whether a sweep has any pair told apart, (draws,)."""
    return np.asarray((found.adjusted < LEVEL).any(axis=-1), dtype=np.float64)


def false_alarms_of_seeds(draws: int = DRAWS) -> Iterator[Line]:
    """No configuration is better than another: in how many sweeps is any pair called different?"""
    section = "No true difference, question of seeds: sweeps with any pair told apart"
    for configurations in (2, 3, 5, 9):
        for seeds in (3, 5, 10, 20):
            shape = (draws, configurations, seeds)
            cell = f"{configurations} configurations, {seeds} seeds"
            values = accuracies(generator("alone", cell), shape, 0.78, 0.03)
            yield _line(section, cell, [any_apart(paired_tests.over_seeds(values))], FALSE_ALARMS)
            sd = np.linspace(0.01, 0.05, configurations)[:, None]
            values = accuracies(generator("alike", cell), shape, 0.78, sd, shared=0.8)
            cell += ", sd 1 to 5 points, correlated 0.8"
            yield _line(section, cell, [any_apart(paired_tests.over_seeds(values))], FALSE_ALARMS)
    for seeds in (3, 5, 10):
        cell = f"the best {MOST} of 100 configurations, {seeds} seeds"
        hits = []
        for portion, rng in _streams(draws, cell):
            values = accuracies(rng, (portion, 100, seeds), 0.78, 0.03)
            best = np.argsort(-values.mean(axis=-1), axis=-1)[:, :MOST]
            chosen = np.take_along_axis(values, best[..., None], axis=1)
            hits.append(any_apart(paired_tests.over_seeds(chosen)))
        yield _line(section, cell, hits, FALSE_ALARMS)


def false_alarms_of_patients(draws: int = DRAWS) -> Iterator[Line]:
    """Models equally good over all patients, on one sample of them."""
    section = "No true difference, question of patients: sweeps with any pair told apart"
    for words, units in (("400 patients", single_images()), ("160 patients, 400 images", several_images())):
        for configurations in (2, 5, 9):
            for seeds in (1, 3):
                cell = f"{configurations} configurations, {words}, {seeds} seed{'s' * (seeds > 1)}"
                hits, truth = [], Truth(seed=0.0)
                for portion, rng in _streams(draws, "patients", cell):
                    right = truth.right(rng, units, portion, configurations * seeds)
                    means = right.reshape(portion, configurations, seeds, -1).mean(axis=2)
                    hits.append(any_apart(over_patients(means, units)))
                yield _line(section, cell, hits, FALSE_ALARMS)
    for disagree in (0.01, 0.02, 0.05):
        hits = [any_apart(found) for found in _disagreeing(draws, disagree, 0.0)]
        cell = f"2 configurations that disagree on {400 * disagree:.0f} of 400 patients, 1 seed"
        yield _line(section, cell, hits, FALSE_ALARMS)


def _disagreeing(draws: int, disagree: float, difference: float) -> Iterator[Pairwise]:
    """Two single models that disagree on a share of 400 images, the first being better by a difference."""
    units = single_images()
    only_first, only_second = (disagree + difference) / 2, (disagree - difference) / 2
    for portion, rng in _streams(draws, "disagree", disagree, difference):
        draw = rng.random((portion, 400))
        right = np.stack([draw < only_first, draw > 1 - only_second], axis=1).astype(np.float64)
        yield over_patients(right, units)


def power_of_seeds(draws: int = DRAWS) -> Iterator[Line]:
    """A true difference of 5 points between two configurations whose seeds spread by 3."""
    section = "A true difference of 5 points, sd 3 points, question of seeds: found"
    for shared in (0.0, 0.8):
        for seeds in (3, 5, 10, 20):
            rng = generator("power", seeds, shared)
            values = accuracies(rng, (draws, 2, seeds), 0.78, 0.03, shared)
            values[:, 1] -= 0.05
            theory = 100 * float(power(0.05, 0.03 * np.sqrt(2 * (1 - shared)), seeds))
            promise = FOUND if seeds == 20 else _near(theory)
            cell = f"{seeds} seeds, correlated {shared:g} (theory {theory:.1f})"
            yield _line(section, cell, [any_apart(paired_tests.over_seeds(values))], promise)


def power_of_patients(draws: int = DRAWS) -> Iterator[Line]:
    """Two single models that disagree on a share of 400 images, one being 5 points better."""
    section = "A true difference of 5 points on 400 images, question of patients: found"
    for disagree in (0.1, 0.2, 0.3):
        theory = 100 * float(power(0.05, np.sqrt(disagree - 0.05**2), 400, spent=2))
        hits = [any_apart(found) for found in _disagreeing(draws, disagree, 0.05)]
        yield _line(section, f"disagreement on {disagree:.0%} (theory {theory:.1f})", hits, _near(theory))


def _near(theory: float) -> tuple[float, float]:
    return max(0.0, theory - 3), min(100.0, theory + 3)


SECTIONS: tuple[Callable[[int], Iterator[Line]], ...] = (
    over_seeds,
    of_one_run,
    of_images,
    over_both,
    false_alarms_of_seeds,
    false_alarms_of_patients,
    power_of_seeds,
    power_of_patients,
)


def markdown(lines: list[Line], seconds: float) -> str:
    """The table, with what made it."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    text = [
        "# Coverage, false alarms and power",
        "",
        f"`python -m benchmarks.coverage`, {datetime.now(UTC):%Y-%m-%d}, {seconds:.0f} s on "
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores "
        f"({provenance.cpu_model()}); {', '.join(f'{name} {number}' for name, number in versions.items())}.",
        f"{DRAWS:,} simulated sweeps a line (2,000 where compared with a bootstrap); per cent. 95% intervals "
        "and tests at 5%, all with the functions that tune-app itself uses. Lines without a promise are for "
        "comparison.",
    ]
    for section in dict.fromkeys(line.section for line in lines):
        text += ["", f"## {section}", "", "| cell | % | promised | kept |", "| --- | ---: | --- | --- |"]
        text += [f"| {' | '.join(line.cells())} |" for line in lines if line.section == section]
    return "\n".join(text) + "\n"


def main() -> int:
    """Run all; 1 where a promise was not kept."""
    start = time.perf_counter()
    lines: list[Line] = []
    for section in SECTIONS:
        for line in section(DRAWS):
            if not lines or lines[-1].section != line.section:
                print(f"\n{line.section}")
            cell, measured, promise, kept = line.cells()
            print(f"  {cell:<75} {measured:>5}   {promise:<14} {kept}", flush=True)
            lines.append(line)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(markdown(lines, time.perf_counter() - start), encoding="utf-8")
    promises = [line.kept for line in lines if line.promised is not None]
    broken = promises.count(False)
    print(f"\n{len(promises) - broken} of {len(promises)} promises kept; written to {RESULTS}")
    return 1 if broken else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.coverage").parse_args()
    sys.exit(main())
