"""A recorded configuration as a trial of an Optuna study. Only validation metrics enter a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

#: The Optuna state of each status of an ended configuration.
STATES = {
    Status.FINISHED: TrialState.COMPLETE,
    Status.STOPPED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
    Status.FAILED: TrialState.FAIL,
}

#: The events after which a configuration may have ended.
END_EVENTS = (Finished, Decision, Stopped, Diverged, Failed)


@dataclass(frozen=True)
class SampleOutcome:
    """The Optuna state of a sample, RUNNING until all its training is done, and its objective values."""

    state: TrialState
    values: tuple[float, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether all its training is done."""
        return self.state is not TrialState.RUNNING


def sample_outcome(space: SearchSpace, history: History, configuration: Configuration) -> SampleOutcome:
    """The outcome of a configuration; a duplicate has that of the sample that it repeats.

    The values are the means over the seeds at the evaluated epoch, one for each metric. As in Optuna, a
    stopped configuration has the value of its last epoch if the space has one metric.
    """
    first = history.configurations[configuration.duplicate_of or configuration.sample]
    replicates = space.replicate_numbers
    if any(first.lacks(replicate, space.epochs) for replicate in replicates):
        return SampleOutcome(TrialState.RUNNING)
    state = STATES[history.status(first, replicates, live=True)]
    if state is TrialState.PRUNED and len(space.metrics) == 1:
        reached = list(first.means(space.metric.name, replicates).values())
        return SampleOutcome(state, tuple(reached[-1:]) or None)
    if state is not TrialState.COMPLETE:
        return SampleOutcome(state)
    values = [first.value(metric, space.evaluate, replicates, space.metric) for metric in space.metrics]
    known = tuple(value for value in values if value is not None)
    return SampleOutcome(state, known) if len(known) == len(values) else SampleOutcome(TrialState.FAIL)


def frozen_trial(
    space: SearchSpace,
    history: History,
    configuration: Configuration,
    parameters: Mapping[str, OptunaParameter],
    attributes: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A configuration as a trial of a study, with ``attributes`` among its user attributes.

    A value that its distribution does not contain, such as one of ``configs:``, becomes a user attribute.
    """
    first = history.configurations[configuration.duplicate_of or configuration.sample]
    outcome = sample_outcome(space, history, configuration)
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
    if outcome.ended:
        known["status"] = history.status(first, space.replicate_numbers, live=True)
    curves = {m.name: first.means(m.name, space.replicate_numbers) for m in space.metrics}
    if len(curves) > 1:
        known |= {f"{name}_by_epoch": list(values.values()) for name, values in curves.items()}
    began, ended = _times(configuration)
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=outcome.state,
        value=None,
        values=outcome.values,
        datetime_start=began,
        datetime_complete=ended if outcome.ended else None,
        params=params,
        distributions={name: parameters[name].distribution for name in params},
        user_attrs={**known, **(attributes or {})},
        system_attrs={},
        intermediate_values=curves[space.metric.name] if len(curves) == 1 else {},
    )


def _times(configuration: Configuration) -> tuple[datetime, datetime]:
    """When it started and when it ended; a duplicate takes no time."""
    attempts = configuration.attempts
    began = min((each.started_at for each in attempts), default=configuration.planned_at)
    ended = max((each.last_at for each in attempts), default=configuration.planned_at)
    return datetime.fromtimestamp(began), datetime.fromtimestamp(ended)


def directions(space: SearchSpace) -> list[StudyDirection]:
    """The direction of each metric, as Optuna has it."""
    return [
        StudyDirection.MAXIMIZE if metric.mode == "max" else StudyDirection.MINIMIZE
        for metric in space.metrics
    ]
