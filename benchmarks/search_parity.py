"""Is a search by tune-app the search that Optuna would make by itself?

``python -m benchmarks.search_parity`` lets both look for the minima of three functions with the same sampler,
options and seed, prints the table and writes ``benchmarks/results/search_parity.md``.

One trial at a time, each sample's parameters must be those of ``study.optimize``, to the last digit. Four at
a time, where the order in which trials end is part of the game, they must be the same where that order is,
and where each side has its own order, tune-app may not be worse: see ``MARGIN``.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import t

from benchmarks.functions import PROBLEMS, Problem
from benchmarks.in_flight import Flight
from tune_app import stopping
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.search.searcher import OptunaSearch
from tune_app.sweep import Sweep

RESULTS = Path(__file__).parent / "results" / "search_parity.md"

#: Samples of a search: with Gaussian processes a suggestion takes half a second, after ten random ones.
SAMPLES = {"gp": 20}
LANES = 4
REPEATS = 30
#: How much worse the mean of log10(best value - least value) over the repeats may be with tune-app, as the
#: upper end of a one-sided 95% interval: 0.3 is a factor of 2 in the distance that is left to the minimum.
MARGIN = 0.3

Params = dict[str, Any]
Times = Callable[[int], float]


def plain_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler as a script of one's own would make it, with tune-app's options."""
    samplers = optuna.samplers
    made: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed),
        "gp": lambda: samplers.GPSampler(seed=seed),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
        "random": lambda: samplers.RandomSampler(seed=seed),
        "qmc": lambda: samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
        "nsga2": lambda: samplers.NSGAIISampler(seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return made[name]()


def samples(sampler: str) -> int:
    """How many samples a search with this sampler has."""
    return SAMPLES.get(sampler, 60)


def times(*seed: int) -> Times:
    """How long each sample takes: drawn, between 1 and 3."""
    drawn = np.random.default_rng(seed).uniform(1, 3, 1000)
    return lambda sample: float(drawn[sample])


# ---------------------------------------------------------------- the two sides


def plain(problem: Problem, sampler: str, seed: int) -> list[optuna.trial.FrozenTrial]:
    """Optuna by itself, one trial at a time."""
    study = optuna.create_study(sampler=plain_sampler(sampler, seed))
    study.optimize(lambda trial: problem.value(problem.suggest(trial)), n_trials=samples(sampler))
    return study.trials


def plain_in_flight(
    problem: Problem, sampler: str, seed: int, taking: Times
) -> list[optuna.trial.FrozenTrial]:
    """Optuna by itself, by ask and tell: a new trial is asked for whenever one of four has ended."""
    study = optuna.create_study(sampler=plain_sampler(sampler, seed))
    under_way: list[tuple[float, int, optuna.Trial, float]] = []
    now = 0.0
    for number in range(samples(sampler)):
        if number >= LANES:
            now = _tell(study, under_way)
        trial = study.ask()
        value = problem.value(problem.suggest(trial))
        heapq.heappush(under_way, (now + taking(number + 1), number, trial, value))
    while under_way:
        _tell(study, under_way)
    return study.trials


def _tell(study: optuna.Study, under_way: list[tuple[float, int, optuna.Trial, float]]) -> float:
    now, _, trial, value = heapq.heappop(under_way)
    study.tell(trial, value)
    return now


def ours(
    problem: Problem, sampler: str, seed: int, taking: Times | None = None
) -> list[optuna.trial.FrozenTrial]:
    """A sweep by tune-app: by the inline engine, or four at a time where they take their ``times``."""
    space = problem.space(sampler, samples(sampler), seed)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # else most of the time goes to fsync
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        Sweep.create(space, runs_dir=folder).writing() as sweep,
    ):
        search = OptunaSearch(space)
        driver = Driver(sweep, stopping.make_stopper(space), search)
        if taking is None:
            inline.run(driver, None)
        else:
            Flight(driver, lambda config, *_: {"value": problem.value(config)}, LANES, taking).run()
        return search.trials()


# ---------------------------------------------------------------- what is measured


@dataclass(frozen=True)
class Line:
    """One line of the tables: what was compared, the figures, and whether the promise was kept."""

    cells: list[str]
    kept: bool


def alike(one: list[optuna.trial.FrozenTrial], other: list[optuna.trial.FrozenTrial]) -> int:
    """How many samples have the same parameters and the same value, to the last digit."""
    return sum(a.params == b.params and a.values == b.values for a, b in zip(one, other, strict=True))


def one_at_a_time(problem: Problem, sampler: str, seeds: range) -> Line:
    """Parameters sample by sample, over some seeds."""
    same = sum(alike(ours(problem, sampler, seed), plain(problem, sampler, seed)) for seed in seeds)
    total = len(seeds) * samples(sampler)
    return Line([problem.name, sampler, str(len(seeds)), f"{same} of {total}"], same == total)


def four_at_a_time(problem: Problem, sampler: str, repeats: int) -> Line:
    """The same where trials end in the same order; not worse where each side has its own."""
    same, differences, left = 0, [], []
    for seed in range(repeats):
        mine = ours(problem, sampler, seed, times(seed, 0))
        same += alike(mine, plain_in_flight(problem, sampler, seed, times(seed, 0))) == samples(sampler)
        theirs = plain_in_flight(problem, sampler, seed, times(seed, 1))
        left.append((distance(problem, mine), distance(problem, theirs)))
        differences.append(left[-1][0] - left[-1][1])
    bound = upper(differences)
    means = [statistics.mean(each) for each in zip(*left, strict=True)]
    cells = [problem.name, sampler, f"{same} of {repeats}", *(f"{mean:.2f}" for mean in means)]
    mean = statistics.mean(differences)
    return Line([*cells, f"{mean:+.2f}", f"{bound:+.2f}"], same == repeats and bound < MARGIN)


def distance(problem: Problem, trials: list[optuna.trial.FrozenTrial]) -> float:
    """log10 of how far the best value lies above the least."""
    best = min(trial.value for trial in trials if trial.value is not None)
    return math.log10(max(best - problem.least, 1e-12))


def upper(differences: list[float]) -> float:
    """Upper end of the one-sided 95% t interval of the mean of paired differences."""
    n = len(differences)
    error = statistics.stdev(differences) / math.sqrt(n)
    return statistics.mean(differences) + float(t.ppf(0.95, n - 1)) * error


# ---------------------------------------------------------------- the tables

ONE = ["function", "sampler", "seeds", "samples alike", "kept"]
FOUR = [
    *("function", "sampler", "alike in the same order", "tune-app", "Optuna", "difference"),
    *("95% below", "kept"),
]


def measure(repeats: int = REPEATS) -> Iterator[tuple[list[str], Line]]:
    """Every line, with the heading of its table."""
    for problem in PROBLEMS:
        for sampler in ("tpe", "gp", "cmaes", "random", "qmc", "nsga2"):
            yield ONE, one_at_a_time(problem, sampler, range(1 if sampler == "gp" else 5))
    for problem in PROBLEMS:
        for sampler in ("tpe", "cmaes"):
            yield FOUR, four_at_a_time(problem, sampler, repeats)


def markdown(lines: list[tuple[list[str], Line]], seconds: float) -> str:
    """The tables with where and when they were measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("optuna", "cmaes", "numpy", "torch"))
    text = [
        "# The same search as Optuna's",
        "",
        f"`python -m benchmarks.search_parity`, {datetime.now(UTC):%Y-%m-%d}, {seconds:.0f} s on "
        f"{os.cpu_count()} cores; python {platform.python_version()}, {versions}.",
        f"Each search has 60 samples ({SAMPLES['gp']} with `gp`); both sides have the same sampler, options "
        "and seeds.",
        "",
        "## One trial at a time",
        "",
        "tune-app with its inline engine, Optuna with `study.optimize`: parameters and values, to the last "
        "digit.",
        *_table(ONE, lines),
        "",
        f"## {LANES} trials at a time",
        "",
        f"tune-app's driver and search, and Optuna by ask and tell, with made-up training times; {REPEATS} "
        "repeats. *Alike in the same order*: repeats in which every sample is the same, where the trials end "
        "in the same order on both sides. The rest: each side has times of its own. The figures are means "
        "of log10(best value − least value), their difference (above 0: tune-app is worse), and below what "
        "that lies with 95% confidence (one-sided t interval of the paired differences), which must be below "
        f"{MARGIN}.",
        *_table(FOUR, lines),
    ]
    return "\n".join(text) + "\n"


def _table(heading: list[str], lines: list[tuple[list[str], Line]]) -> list[str]:
    rows = [[*line.cells, "yes" if line.kept else "NO"] for title, line in lines if title is heading]
    rule = ["---", "---", *["---:"] * (len(heading) - 3), "---"]
    return ["", *(f"| {' | '.join(row)} |" for row in (heading, rule, *rows))]


def main() -> int:
    """Run all; 1 where a promise was not kept."""
    start = time.perf_counter()
    lines: list[tuple[list[str], Line]] = []
    for heading, line in measure():
        if not lines or lines[-1][0] is not heading:
            print("  ".join(heading))
        print("  ".join([*line.cells, "yes" if line.kept else "NO"]), flush=True)
        lines.append((heading, line))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(markdown(lines, time.perf_counter() - start), encoding="utf-8")
    broken = sum(not line.kept for _, line in lines)
    print(f"\n{len(lines) - broken} of {len(lines)} promises kept; written to {RESULTS.name}")
    return 1 if broken else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.search_parity").parse_args()
    sys.exit(main())
