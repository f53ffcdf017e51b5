"""How many seeds show a difference between two configurations, if seeds vary as in a run that exists."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tune_app import results
from tune_app.data.identity import DataIdentity
from tune_app.errors import TuneAppError
from tune_app.results.frames import Frames, common
from tune_app.results.verdict import LEVEL, MOST
from tune_app.results.verdict.looks import next_share, taken
from tune_app.space import SearchSpace
from tune_app.stats.paired_tests import sample_size
from tune_app.sweep import Sweep
from tune_app.sweep.events import Created
from tune_app.sweep.paths import RunPaths, find_runs
from tune_app.sweep.record import read

#: Percentage points.
_DIFFERENCES = (1.0, 0.5)
_SEEDS_AT_MOST = 1_000


def of_next_look(sweep: Sweep) -> str | None:
    """The number of seeds, old and new, that a run needs at its next look to show a difference of 1 point."""
    said, number = _in_words(results.load(sweep), next_share(sweep)), len(taken(sweep)) + 1
    return said and f"{said}; at look {number} of this run"


def of_earlier_run(space: SearchSpace, data: DataIdentity, runs_dir: Path) -> str | None:
    """The same for a run to come, by the newest run of this space and data that can say it."""
    for folder in find_runs(runs_dir):
        try:
            _, first = next(iter(read(RunPaths(folder).record)))
            if (
                isinstance(first, Created)
                and (first.space, first.task) == (space.name, space.task)
                and first.data.fingerprint == data.fingerprint
                and (said := _in_words(results.load(Sweep.open(folder)), share=1.0))
            ):
                return f"{said}, if seeds vary as in {folder.name}"
        except (TuneAppError, StopIteration):
            continue
    return None


def _in_words(frames: Frames, share: float) -> str | None:
    """None where the metric is no share, or seeds show no spread.

    The spread is that of the difference of two configurations, the median over the best ones.
    """
    metric = frames.sweep.space.metric.name
    ranked = results.ranked(frames)
    samples = ranked[ranked["twin"].isna()]["sample"].head(MOST)
    values = [frames.replicates(sample, frames.choice_of(metric)) for sample in samples]
    if not frames.units.is_share(metric) or len(values) < 2 or (shared := common(values)).shape[1] < 2:
        return None
    first, second = np.triu_indices(len(shared), 1)
    sd = float(np.median((shared[first] - shared[second]).std(axis=1, ddof=1)))
    if not sd:
        return None
    found = sample_size(np.array(_DIFFERENCES) / 100, sd, LEVEL * share, most=_SEEDS_AT_MOST)
    said = [
        f"{f'about {n}' if n > 0 else f'more than {_SEEDS_AT_MOST:,}'} show "
        f"{points:g} point{'s' * (points != 1)}"
        for n, points in zip(found.tolist(), _DIFFERENCES, strict=True)
    ]
    return f"seeds to show a difference between two configurations (power 80%): {', '.join(said)}"
