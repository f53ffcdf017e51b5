"""The two-level interval beside rliable's stratified bootstrap, on the same simulated sweeps.

rliable (R. Agarwal et al., NeurIPS 2021) is no dependency of tune-app, and brings many of its own: install
``rliable`` and ``pandas<3`` in an environment by itself, and run ``python -m benchmarks.coverage_rliable``
there. Each image is a task to it; ``task_bootstrap`` draws images anew as well. Writes
``benchmarks/results/coverage_rliable.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks.simulate import Truth, generator, several_images, single_images
from tune_app.stats.patients import components

RESULTS = Path(__file__).parent / "results" / "coverage_rliable.md"
SWEEPS = 400
RESAMPLES = 500


def main() -> None:
    """Run all cells and write the table."""
    from rliable import library

    start = time.perf_counter()
    lines = [
        "| cell | tune-app, % | rliable, runs and tasks, % | rliable, runs, % |",
        "| --- | ---: | ---: | ---: |",
    ]
    np.random.seed(0)  # rliable draws from the global generator
    for words, units in (("400 patients", single_images()), ("160 patients, 400 images", several_images())):
        for name, truth in (("1.5", Truth(seed=0.08)), ("5", Truth(seed=0.27))):
            for seeds in (3, 5, 10):
                cell = f"{words}, seed sd {name} points, {seeds} seeds"
                right = truth.right(generator("rliable", cell), units, SWEEPS, seeds)
                expected = truth.accuracy(units)
                found = components(right, units)
                covered = [np.mean(abs(found.mean - expected) <= found.half_width())]
                for tasks in (True, False):
                    hits = []
                    for sweep in right:
                        _, ends = library.get_interval_estimates(
                            {"one": sweep},
                            lambda scores: np.array([scores.mean()]),
                            task_bootstrap=tasks,
                            reps=RESAMPLES,
                        )
                        low, high = ends["one"][:, 0]
                        hits.append(low <= expected <= high)
                    covered.append(np.mean(hits))
                lines.append(f"| {cell} | {' | '.join(f'{100 * share:.1f}' for share in covered)} |")
                print(lines[-1], flush=True)
    text = (
        "# The interval over seeds and patients beside rliable\n\n"
        f"`python -m benchmarks.coverage_rliable`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{time.perf_counter() - start:.0f} s; python {platform.python_version()}, numpy {np.__version__}, "
        f"rliable {metadata.version('rliable')}, arch {metadata.version('arch')}.\n"
        f"{SWEEPS} simulated sweeps a line, {RESAMPLES} resamples each; how often a 95% interval holds the "
        "expected accuracy (one standard error: about 1 point).\n\n"
    )
    RESULTS.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.coverage_rliable").parse_args()
    main()
