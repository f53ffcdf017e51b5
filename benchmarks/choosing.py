"""How far below the best configuration is the chosen one, by the number of epochs that choose?

``python -m benchmarks.choosing train --runs FOLDER [--xrays FOLDER]`` trains 81 configurations with 15 seeds
each, on phantoms and on X-rays, at 28x28 (about 15 minutes a run on two cores).
``python -m benchmarks.choosing judge RUN ...`` draws 3 and 5 of the seeds at random, chooses by the mean
of the last 1, 3, 5 or 10 epochs, and judges by the seeds that the choice did not see: the regret is the
difference between their mean of the best configuration and of the chosen one. Writes
``benchmarks/results/choosing.md``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulate import generator
from tune_app import space
from tune_app.session import provenance
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import window_mean

SPACE = """
task: pneumonia
space:
  lr: {grid: [1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3]}
  step_size: {grid: [2, 4, 8]}
  gamma: {grid: [0.2, 0.4, 0.8]}
fixed: {batch_size: 128, loss: bce}
epochs: 30
seeds: 3
metric: {name: val_accuracy, mode: max}
keep: none
replicates: looped
"""
RESULTS = Path(__file__).parent / "results" / "choosing.md"
WINDOWS = (1, 3, 5, 10)
SEEN = (3, 5)
DRAWS = 2_000
SEEDS = 15


def train(runs: Path, xrays: Path | None) -> None:
    """Train the deep records, or resume them."""
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "deep.yaml"
    file.write_text(SPACE, encoding="utf-8")
    common = ("run", str(file), "--image-size", "28", "--seeds", str(SEEDS), "--runs-dir", str(runs))
    for name, data in (("phantom", ()), ("xrays", ("--data", str(xrays)) if xrays else None)):
        if data is not None:
            command = [sys.executable, "-m", "tune_app", *common, "--name", f"deep-{name}", *data]
            subprocess.run(command, check=True)


def choices(sweep: Sweep, window: int) -> NDArray[np.float64]:
    """What each configuration and replicate (K, R) is chosen by with this window."""
    wanted = space.changed(sweep.space, {"choose": {"window": window}}, f"window {window}")
    every, metric = sweep.history.configurations.values(), wanted.metric.name
    return np.array(
        [[window_mean(each.epochs(r), wanted, metric) for r in each.replicates(wanted)] for each in every],
        dtype=np.float64,
    )


def regrets(
    by_window: NDArray[np.float64], last: NDArray[np.float64], seen: int, draws: int = DRAWS
) -> NDArray[np.float64]:
    """Regret (draws,) of choosing by ``by_window`` (K, R) of ``seen`` seeds.

    The truth is the mean of ``last``, (K, R) at the last epoch, over the seeds that were not seen.
    """
    rng = generator("choosing", seen)
    found = []
    for _ in range(draws):
        order = rng.permutation(last.shape[1])
        chosen = by_window[:, order[:seen]].mean(axis=1).argmax()
        truth = last[:, order[seen:]].mean(axis=1)
        found.append(truth.max() - truth[chosen])
    return np.array(found)


def judge(runs: Sequence[Path]) -> str:
    """The table of regrets, in points."""
    windows = " | ".join(f"last {window}" if window > 1 else "last epoch" for window in WINDOWS)
    lines = [
        f"| run | seeds seen | {windows} |",
        "| --- | ---: |" + " ---: |" * len(WINDOWS),
    ]
    for run in runs:
        sweep = Sweep.open(run)
        by_window = [100 * choices(sweep, window) for window in WINDOWS]
        last = 100 * choices(sweep, 1)
        for seen in SEEN:
            cells = [f"{regrets(each, last, seen).mean():.2f}" for each in by_window]
            name = f"{run.name} ({last.shape[0]} x {last.shape[1]} seeds)"
            lines.append(f"| {name} | {seen} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Train or judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choosing", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train", help="train the deep records")
    training.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    training.add_argument("--xrays", type=Path, help="folder of the X-rays")
    judging = verbs.add_parser("judge", help="judge the choice by windows")
    judging.add_argument("runs", type=Path, nargs="+", help="run folders")
    options = parser.parse_args(argv)
    if options.verb == "train":
        train(options.runs, options.xrays)
        return
    table = judge(options.runs)
    print(table)
    RESULTS.write_text(
        "# Choosing by the last epochs\n\n"
        f"`python -m benchmarks.choosing`, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores "
        f"({provenance.cpu_model()}). Mean regret in points of validation accuracy, over {DRAWS:,} draws of "
        "the seeds seen.\n\n"
        f"{table}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
