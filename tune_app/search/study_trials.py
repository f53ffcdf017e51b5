"""A recorded configuration as a trial of an Optuna study. Only validation metrics enter a study."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_app.search.distributions import OptunaParameter
from tune_app.space import SearchSpace
from tune_app.status import Status
from tune_app.sweep.configurations import Configuration
from tune_app.sweep.events import Decision, Diverged, Failed, Finished, Stopped
from tune_app.sweep.history import History

#: The user attribute of a study's trial that holds our sample number.
SAMPLE = "sample"

_STATES = {
    Status.FINISHED: TrialState.COMPLETE,
    Status.STOPPED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
    Status.FAILED: TrialState.FAIL,
}

#: The events after which a configuration may have ended.
END_EVENTS = (Finished, Decision, Stopped, Diverged, Failed)


def frozen_trial(
    space: SearchSpace,
    history: History,
    configuration: Configuration,
    parameters: Mapping[str, OptunaParameter],
    attributes: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A configuration as a trial of a study, with ``attributes`` among its user attributes.

    It is RUNNING until all its training is done. A duplicate has the outcome of the sample that it repeats.
    The values are the means over the seeds at the evaluated epoch, one for each metric. A value that its
    distribution does not contain, such as one of ``configs:``, becomes a user attribute.
    """
    first = history.configurations[configuration.duplicate_of or configuration.sample]
    state, values = _outcome(space, history, first)
    known: dict[str, Any] = {SAMPLE: configuration.sample}
    params, outside = {}, {}
    for name, value in configuration.config.items():
        if name in parameters and parameters[name].contains(value):
            params[name] = parameters[name].to_optuna(value)
        elif name in space.space:
            outside[name] = value
    if outside:
        known["outside"] = outside
    if configuration.duplicate_of is not None:
        known["twin"] = configuration.duplicate_of
    if state.is_finished():
        known["status"] = history.status(first, space.replicate_numbers, live=True)
    curves = {m.name: first.means(m.name, space.replicate_numbers) for m in space.metrics}
    if len(curves) > 1:
        known |= {f"{name}_by_epoch": list(values.values()) for name, values in curves.items()}
    # a duplicate takes no time
    began = min((each.started_at for each in configuration.attempts), default=configuration.planned_at)
    ended = max((each.last_at for each in configuration.attempts), default=configuration.planned_at)
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=datetime.fromtimestamp(began),
        datetime_complete=datetime.fromtimestamp(ended) if state.is_finished() else None,
        params=params,
        distributions={name: parameters[name].distribution for name in params},
        user_attrs={**known, **(attributes or {})},
        system_attrs={},
        intermediate_values=curves[space.metric.name] if len(curves) == 1 else {},
    )


def _outcome(
    space: SearchSpace, history: History, configuration: Configuration
) -> tuple[TrialState, list[float] | None]:
    """The state and the values; as in Optuna, one that was stopped has the last value of a single metric."""
    replicates = space.replicate_numbers
    if any(configuration.lacks(replicate, space.epochs) for replicate in replicates):
        return TrialState.RUNNING, None
    state = _STATES[history.status(configuration, replicates, live=True)]
    if state is TrialState.PRUNED and len(space.metrics) == 1:
        return state, [*configuration.means(space.metric.name, replicates).values()][-1:] or None
    if state is not TrialState.COMPLETE:
        return state, None
    values = [configuration.value(each, space.evaluate, replicates, space.metric) for each in space.metrics]
    known = [value for value in values if value is not None]
    return (state, known) if len(known) == len(values) else (TrialState.FAIL, None)


def directions(space: SearchSpace) -> list[StudyDirection]:
    """The direction of each metric, as Optuna has it."""
    return [
        StudyDirection.MAXIMIZE if metric.mode == "max" else StudyDirection.MINIMIZE
        for metric in space.metrics
    ]
