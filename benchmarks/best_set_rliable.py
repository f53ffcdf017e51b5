"""The set that may hold the best beside rliable, on the same simulated sweeps as ``benchmarks.best_set``.

rliable (R. Agarwal et al., NeurIPS 2021) is no dependency of tune-app: install ``rliable`` and
``pandas<3`` in an environment by itself, with the packages that tune-app imports, and run ``python -m
benchmarks.best_set_rliable`` there. It has two answers. Intervals of the means: a configuration may be the
best unless its 95% interval lies below another one's. The probability of improvement over it: a
configuration may be the best unless the 95% interval of that probability lies above one half for another
one. Writes ``benchmarks/results/best_set_rliable.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.best_set import Case, lost_cases, power_cases, rotation_set, tie_cases

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

RESULTS = Path(__file__).parent / "results" / "best_set_rliable.md"
SWEEPS = 100
RESAMPLES = 200

#: Of the lines on which a given best one may be lost, this.
LOST = "9 equal, correlation 0.3"


def by_intervals(values: Floats) -> Members:
    """Of one sweep (K, n): whose interval of the mean is not below another one's."""
    from rliable import library

    _, ends = library.get_interval_estimates(
        {str(i): row[:, None] for i, row in enumerate(values)},
        lambda scores: np.array([scores.mean()]),
        reps=RESAMPLES,
    )
    low, high = np.array([ends[str(i)][:, 0] for i in range(len(values))]).T
    inside: Members = high >= low.max()
    return inside


def by_improvement(values: Floats) -> Members:
    """Of one sweep (K, n): over whom the best mean is not shown to be an improvement."""
    from rliable import library, metrics

    best = int(values.mean(axis=1).argmax())
    others = [i for i in range(len(values)) if i != best]
    _, ends = library.get_interval_estimates(
        {str(i): (values[best][:, None], values[i][:, None]) for i in others},
        lambda one, other: np.array([metrics.probability_of_improvement(one, other)]),
        reps=RESAMPLES,
    )
    return np.array([i == best or ends[str(i)][0, 0] <= 0.5 for i in range(len(values))])


PROCEDURES: dict[str, Callable[[Floats], Members]] = {
    "rliable, intervals": by_intervals,
    "rliable, improvement": by_improvement,
}


def line(case: Case) -> str:
    """A row: for each procedure, how often the given one is named alone, anyone is, the given one is lost."""
    values = case.draw(SWEEPS)
    found = {"set": rotation_set(values, case.step)}
    found |= {name: np.array([one(sweep) for sweep in values]) for name, one in PROCEDURES.items()}
    cells = []
    for inside in found.values():
        alone = inside.sum(axis=1) == 1
        shares = ((alone & inside[:, 0]).mean(), alone.mean(), (~inside[:, 0]).mean())
        cells.append(" / ".join(f"{100 * share:.1f}" for share in shares))
    return f"| {case.name}, {case.seeds} seeds | {' | '.join(cells)} |"


def main() -> None:
    """Run all lines and write the table."""
    start = time.perf_counter()
    np.random.seed(0)  # rliable draws from the global generator
    lines = [f"| truth | set | {' | '.join(PROCEDURES)} |", "| --- | ---: | ---: | ---: |"]
    cases = [case for case in power_cases() if case.named_alone is not None and not case.images]
    cases += [case for case in tie_cases() if len(case.means) == 9 and case.seeds == 5]
    cases += [case for case in lost_cases() if case.name == LOST and case.seeds == 5]
    for case in cases:
        lines.append(line(case))
        print(lines[-1], flush=True)
    text = (
        "# The set that may hold the best beside rliable\n\n"
        f"`python -m benchmarks.best_set_rliable`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{time.perf_counter() - start:.0f} s; python {platform.python_version()}, numpy {np.__version__}, "
        f"rliable {metadata.version('rliable')}, arch {metadata.version('arch')}.\n"
        f"{SWEEPS} simulated sweeps a line, {RESAMPLES} resamples each. In per cent of the sweeps: the given "
        "best one is named alone / any one is named alone / the given best one is lost (one standard error "
        "of 5%: 2 points).\n\n"
    )
    RESULTS.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.best_set_rliable").parse_args()
    main()
