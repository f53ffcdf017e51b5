"""An Optuna study for its figures, whatever searched: so grids have them too.

Not the one that others open (``tune_app.search.study_file``): its ranges are those of the recorded values, so
that a grid, or a point outside of the space, has a place on an axis. It holds validation metrics alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_app.report import formats
from tune_app.search.distributions import logarithmic
from tune_app.search.study_trials import SAMPLE, STATES
from tune_app.space import Scalar, canonical
from tune_app.status import Status

if TYPE_CHECKING:
    from tune_app.results import Frames

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: Numbers further apart than this are words to an axis.
_DECADES = 40

#: Whole numbers up to here are exact as floats, and fit into what numpy counts with.
_EXACT = 2**53

#: Stands before each category, in no font: without it matplotlib tries to read a number in one as a date.
MARK = "\u2060"


def make_study(
    frames: Frames, trials: pd.DataFrame | None = None, names: Mapping[str, str] | None = None
) -> optuna.Study:
    """A study in memory with a trial for each ended configuration of ``trials`` (default: all).

    Its parameters are those that vary, under the ``names`` given for them.
    """
    metric = frames.sweep.space.metric
    made = optuna.create_study(
        study_name=frames.sweep.name, direction="maximize" if metric.mode == "max" else "minimize"
    )
    rows = frames.trials if trials is None else trials
    spread = {name: distribution(frames, name) for name in frames.varying}
    made.add_trials(
        [_trial(frames, row, spread, names or {}) for _, row in rows.iterrows() if row["status"] in STATES]
    )
    return made


def _trial(
    frames: Frames, row: pd.Series[Any], spread: Mapping[str, BaseDistribution], names: Mapping[str, str]
) -> FrozenTrial:
    config = frames.config(row["sample"])
    values = {
        name: _value(frames, name, config[name], spread[name]) for name in frames.varying if name in config
    }
    mean = row.get(f"{frames.sweep.space.metric.name}_mean")
    state = STATES[Status(row["status"])]
    if state is TrialState.COMPLETE and (mean is None or pd.isna(mean)):
        state = TrialState.FAIL
    return create_trial(
        state=state,
        value=float(mean) if state is TrialState.COMPLETE and mean is not None else None,
        params={names.get(name, name): value for name, value in values.items()},
        distributions={names.get(name, name): spread[name] for name in values},
        user_attrs={SAMPLE: int(row["sample"])},
    )


def distribution(frames: Frames, name: str) -> BaseDistribution:
    """The range of a parameter's recorded values; names, null and mixed values are categories."""
    values = parameter_values(frames, name)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or _too_far_apart(numbers):
        return CategoricalDistribution([_choice(frames, name, v) for v in values])
    low, high = min(numbers), max(numbers)
    log = logarithmic(frames.sweep.space.space.get(name), low, high)
    if all(isinstance(v, int) and abs(v) <= _EXACT for v in numbers):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def parameter_values(frames: Frames, name: str) -> list[Scalar]:
    """The different values of a parameter as they came, whole floats as integers."""
    configs = (each.config for each in frames.sweep.history.configurations.values())
    found = {canonical(config[name]): config[name] for config in configs if name in config}
    return list(map(formats.plain, found.values()))


def _too_far_apart(numbers: Sequence[float]) -> bool:
    """Whether no axis could show these numbers side by side."""
    sizes = [abs(v) for v in numbers if v != 0]
    return bool(sizes) and math.log10(max(sizes)) - math.log10(min(sizes)) > _DECADES


def _value(frames: Frames, name: str, value: Scalar, spread: BaseDistribution) -> Any:
    if isinstance(spread, CategoricalDistribution):
        return _choice(frames, name, value)
    value = formats.plain(value)
    return float(value) if isinstance(spread, FloatDistribution) and value is not None else value


def _choice(frames: Frames, name: str, value: Scalar) -> str:
    """A category as text: Optuna would take 1 and True for the same."""
    return MARK + frames.labels.value(name, value)
