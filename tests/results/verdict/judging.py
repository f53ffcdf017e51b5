"""Runs to be judged, and their comparison on the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from records import Ended, record, right, steady

from tune_app.results import Frames
from tune_app.results.verdict import Comparison, Verdict

GRID = "task: pneumonia\nspace: {lr: {grid: [%s]}}\nepochs: 2\nseeds: %d\n"


def grid(count: int, seeds: int = 5) -> str:
    return GRID % (", ".join(f"{i}.0e-6" for i in range(1, count + 1)), seeds)


def three(folder: Path, **more: object) -> Frames:
    """Samples 1 and 2 alike, 3 far behind; on the test set 2 is a little ahead."""
    wiggle = np.array([0.0, 0.01, -0.01, 0.005, -0.005])
    val = [0.90 + wiggle, 0.895 + wiggle[[1, 3, 0, 4, 2]], 0.70 + wiggle[[2, 0, 1, 4, 3]]]
    test = [0.80 + wiggle, 0.81 + wiggle[[1, 3, 0, 4, 2]], 0.60 + wiggle[[2, 0, 1, 4, 3]]]
    ended = {
        sample: Ended(steady(*val[sample - 1]), right(sample, test[sample - 1].tolist(), like=9))
        for sample in (1, 2, 3)
    }
    return record(folder, grid(3), ended, **more)  # type: ignore[arg-type]


def on_test(judged: Verdict) -> Comparison:
    assert judged.test is not None
    return judged.test
