"""Which early stopping rule chooses as well as training everything, and for how many of its epochs?

``python -m benchmarks.choosing train`` trains two of the deep records. ``python -m benchmarks.stopping train
--runs FOLDER --xrays FOLDER`` trains the third, a small convolutional network (27 configurations, 8 seeds).
``python -m benchmarks.stopping judge --runs FOLDER`` replays every rule over them, over a regression and over
made-up curves, and writes ``benchmarks/results/stopping.md``, ``.csv`` and ``.svg``. Syne Tune takes part
where it is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.stopping import page, records, small_cnn
from benchmarks.stopping.records import Deep
from benchmarks.stopping.replay import DRAWS, searches
from benchmarks.stopping.rules import EVERYTHING, variants
from tune_app.session import provenance

RESULTS = Path(__file__).parent.parent / "results"
#: Sets of made-up curves.
SETS = 20


def train(runs: Path, xrays: Path) -> None:
    """Train the small network on the X-rays, or resume it."""
    runs.mkdir(parents=True, exist_ok=True)
    space = runs / "deep-cnn.yaml"
    space.write_text(small_cnn.SPACE, encoding="utf-8")
    command = ["run", str(space), "--data", str(xrays), "--image-size", "28", "--runs-dir", str(runs)]
    subprocess.run([sys.executable, "-m", "tune_app", *command, "--name", "deep-cnn"], check=True)


def deep_records(runs: Path) -> list[list[Deep]]:
    """Every record that is there; one of several sets of curves is a list of them."""
    trained = [
        [records.of_run(title, runs / name, judges)]
        for title, name, judges in (
            ("phantoms", "deep-phantom", False),
            ("X-rays", "deep-xrays", True),
            ("small CNN on X-rays", "deep-cnn", True),
        )
        if (runs / name / "curves.csv").exists()
    ]
    return [*trained, [records.regression()], [records.crossing(number) for number in range(SETS)]]


def measure(record: Sequence[Deep], draws: int) -> list[dict[str, Any]]:
    """A row for each variant: its mean regret, its distance to training everything, and its epochs."""
    drawn = list(searches(record, draws))
    rows, everything = list[dict[str, Any]](), np.zeros(draws)
    for variant in variants():
        played = [variant.play(search) for search in drawn]
        regrets = np.array([search.regret(each.finished) for search, each in zip(drawn, played, strict=True)])
        if variant.rule == EVERYTHING:
            everything = regrets
        total = record[0].metric.shape[0] * record[0].metric.shape[2]
        rows.append(
            {
                "rule": variant.rule,
                "settings": variant.settings,
                "record": record[0].name,
                "judges": record[0].judges,
                "regret": regrets.mean(),
                "excess": (regrets - everything).mean(),
                "error": (regrets - everything).std(ddof=1) / draws**0.5,
                "epochs": np.mean([each.epochs for each in played]) / total,
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Train or judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train", help="train the small network on X-rays")
    training.add_argument("--xrays", type=Path, required=True, help="folder of the X-rays")
    judging = verbs.add_parser("judge", help="replay every rule over the deep records")
    judging.add_argument("--draws", type=int, default=DRAWS, help="searches for each record")
    for verb in (training, judging):
        verb.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    options = parser.parse_args(argv)
    if options.verb == "train":
        train(options.runs, options.xrays)
        return
    deep = deep_records(options.runs)
    with ProcessPoolExecutor() as pool:
        rows = pool.map(measure, deep, [options.draws] * len(deep))
    found = pd.DataFrame([row for each in rows for row in each]).round(4)
    found.to_csv(RESULTS / "stopping.csv", index=False)
    where = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({provenance.cpu_model()})"
    (RESULTS / "stopping.md").write_text(page.markdown(found, where) + "\n", encoding="utf-8")
    page.draw(found, RESULTS / "stopping.svg")
    print(f"written: {RESULTS / 'stopping.md'}")


if __name__ == "__main__":
    main()
