"""A run as a file that Optuna and its dashboard open: the study with all that is known once it has ended.

Any run has one, whatever searched it. Unlike ``study.db``, which is written while a sweep searches, it
holds the test metrics.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tune_app.report import formats
from tune_app.search.conversion import OptunaParameter, frozen_trial, optuna_parameters, spanning
from tune_app.search.study_file import StudyFile
from tune_app.space import Value
from tune_app.space.rules import metric_columns
from tune_app.version import __version__

if TYPE_CHECKING:
    from tune_app.results import Frames

_COUNTS = ("n", "n_diverged", "duration_s", "device")


def content(frames: Frames) -> bytes:
    """The study of a run as a sqlite file's content: one trial for each configuration that has ended.

    A trial's user attributes are the means, intervals and counts of its row in ``results.csv``; the
    study's say what was trained on what.
    """
    sweep, history = frames.sweep, frames.sweep.history
    parameters = _parameters(frames)
    trials = []
    for _, row in frames.trials.iterrows():
        configuration = history.configurations[int(row["sample"])]
        trials.append(frozen_trial(sweep.space, history, configuration, parameters, _measured(frames, row)))
    ended = [trial for trial in trials if trial.state.is_finished()]
    about = {
        "tune-app": __version__,
        "task": sweep.space.task,
        "data": sweep.data.label(),
        "seeds": sweep.space.seeds,
        "epochs": sweep.space.epochs,
        "evaluate": sweep.space.evaluate,
        "choose": sweep.space.choose.model_dump(),
        "fixed": dict(sweep.space.fixed),
    }
    with tempfile.TemporaryDirectory(prefix="tune-app-") as folder:
        path = Path(folder) / "study.db"
        file = StudyFile(path, sweep.name, sweep.space)
        file.write(ended, about)
        file.close()
        return path.read_bytes()


def _measured(frames: Frames, row: pd.Series[Any]) -> dict[str, Value]:
    names = [column for metric in frames.metrics for column in metric_columns(metric)[1:3]]
    cells = {name: formats.plain(row[name]) for name in [*names, *_COUNTS]}
    return {name: value for name, value in cells.items() if value is not None}


def _parameters(frames: Frames) -> dict[str, OptunaParameter]:
    """Each parameter that is not fixed, with a distribution that contains every value that was tried."""
    parameters = optuna_parameters(frames.sweep.space)
    for name in frames.parameters:
        configs = [each.config for each in frames.sweep.history.configurations.values()]
        values = [config[name] for config in configs if name in config]
        sampler = frames.sweep.space.space.get(name)
        exact = name in parameters and not parameters[name].sampler.by_share
        if not exact or not all(map(parameters[name].contains, values)):
            parameters[name] = OptunaParameter(spanning(values, sampler))
    fixed = frames.sweep.space.fixed.keys() - set(frames.varying)
    return {name: each for name, each in parameters.items() if name not in fixed}
