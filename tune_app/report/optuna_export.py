"""A run as a file that Optuna and its dashboard open: the study with all that is known once it has ended.

Any run has one, whatever searched it. Unlike ``study.db``, which is written while a sweep searches, it
holds the test metrics.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.report import formats
from tune_app.search.distributions import OPTUNA_KINDS, OptunaParameter, logarithmic
from tune_app.search.study_file import StudyFile
from tune_app.search.study_trials import frozen_trial
from tune_app.space import Sampler, Scalar, canonical
from tune_app.space.rules import metric_columns
from tune_app.version import __version__

if TYPE_CHECKING:
    from tune_app.results import Frames

#: Numbers beyond this are words to a range.
_LARGEST = 1e100

_COUNTS = ("n", "n_diverged", "duration_s", "device")


def content(frames: Frames) -> bytes:
    """The study of a run as a sqlite file's content: one trial for each configuration that has ended.

    A trial's user attributes are the means, intervals and counts of its row in ``results.csv``; the
    study's say what was trained on what.
    """
    sweep = frames.sweep
    parameters = _parameters(frames)
    trials = []
    for _, row in frames.trials.iterrows():
        configuration = sweep.history.configurations[int(row["sample"])]
        made = frozen_trial(sweep.space, sweep.history, configuration, parameters, _measured(frames, row))
        if made.state.is_finished():
            trials.append(made)
    about = {
        "tune-app": __version__,
        "task": sweep.space.task,
        "data": sweep.data.label(),
        "seeds": sweep.space.seeds,
        "epochs": sweep.space.epochs,
        "evaluate": sweep.space.evaluate,
        "fixed": dict(sweep.space.fixed),
    }
    with tempfile.TemporaryDirectory(prefix="tune-app-") as folder:
        path = Path(folder) / "study.db"
        StudyFile(path, sweep.name, sweep.space, trials, about).close()
        return path.read_bytes()


def _measured(frames: Frames, row: pd.Series[Any]) -> dict[str, Scalar]:
    names = [column for metric in frames.metrics for column in metric_columns(metric)[1:]]
    cells = {name: formats.plain(row[name]) for name in [*names, *_COUNTS]}
    return {name: value for name, value in cells.items() if value is not None}


def _parameters(frames: Frames) -> dict[str, OptunaParameter]:
    """Each parameter that is not fixed, with a distribution that contains every value that was tried."""
    space, found = frames.sweep.space, {}
    for name in frames.parameters:
        if name in space.fixed:
            continue
        configurations = frames.sweep.history.configurations.values()
        values = [c.config[name] for c in configurations if name in c.config]
        sampler = space.space.get(name)
        if (
            sampler is None
            or sampler.kind not in OPTUNA_KINDS
            or not all(map(OptunaParameter.of(sampler).contains, values))
        ):
            sampler = _spanning(values, sampler)
        found[name] = OptunaParameter.of(sampler)
    return found


def _spanning(values: Sequence[Scalar], sampler: Sampler | None) -> Sampler:
    """A sampler that gives these values: a range of numbers, or the words that they are."""
    distinct = list({canonical(value): value for value in values}.values())
    numbers = [v for v in distinct if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(distinct) or max(map(abs, numbers)) > _LARGEST:
        return Sampler("choice", tuple(distinct))
    low, high = min(numbers), max(numbers)
    log = logarithmic(sampler, low, high)
    if all(isinstance(v, int) for v in numbers):
        return Sampler("lograndint" if log else "randint", (low, high + 1))
    return Sampler("loguniform" if log else "uniform", (low, high))
