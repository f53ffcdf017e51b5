"""The parameters and configurations of a sweep as Optuna's distributions and trials. The only conversion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_app.space import Sampler, SearchSpace, Value
from tune_app.space.samplers import BELLS, multiple, steps
from tune_app.space.scalars import alike, canonical, is_compound, literal
from tune_app.status import Status
from tune_app.sweep.configurations import Configuration
from tune_app.sweep.events import Decision, Diverged, Failed, Finished, Paused, Stopped
from tune_app.sweep.history import History

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: The shares that a search may suggest for a distribution that Optuna lacks end this far from 0 and 1.
_TAIL = 1e-6

#: The range of a bell in a study, in standard deviations; a search reaches less than half of it.
_WIDEST = 10

#: A grid's numbers count as logarithmic if the largest is at least this many times the smallest.
_LOG_RATIO = 50

#: The decades of the largest number on an axis, and of the longest axis; other numbers are choices.
_LARGEST, _LONGEST = 100, 40

#: Whole numbers up to this size are exact as floats.
_LARGEST_EXACT = 2**53

#: The user attribute of a study's trial that holds our sample number.
SAMPLE = "sample"

_STATES = {
    Status.FINISHED: TrialState.COMPLETE,
    Status.STOPPED: TrialState.PRUNED,
    Status.DIVERGED: TrialState.FAIL,
    Status.FAILED: TrialState.FAIL,
}

#: The events after which a configuration may have ended; one that is paused has to a sampler.
END_EVENTS = (Finished, Decision, Stopped, Diverged, Failed, Paused)


@dataclass(frozen=True)
class OptunaParameter:
    """One parameter: our sampler, and the Optuna distribution of the same values."""

    sampler: Sampler

    @cached_property
    def distribution(self) -> BaseDistribution:
        """Optuna's integer and stepped ranges include their upper bound; ``randint`` does not."""
        match self.sampler.kind, self.sampler.args:
            case "choice", values:
                return CategoricalDistribution(_categories(values))
            case "uniform", (low, high):
                return FloatDistribution(low, high)
            case "loguniform", (low, high):
                return FloatDistribution(low, high, log=True)
            case "quniform" | "qloguniform", (low, high, q):
                return FloatDistribution(low, high, step=q)
            case "randint", (low, high):
                return IntDistribution(low, high - 1)
            case "lograndint", (low, high):
                return IntDistribution(low, high - 1, log=True)
            case "qrandint", (low, high, q):
                first, last = steps(low, high, q)
                return IntDistribution(first * q, last * q, step=q)
            case "lognormal", (mean, sd):
                low, high = (math.exp(mean + sign * _WIDEST * sd) for sign in (-1, 1))
                return FloatDistribution(low, high, log=True)
            case "normal" | "randn", (mean, sd):
                return FloatDistribution(mean - _WIDEST * sd, mean + _WIDEST * sd)
            case kind, _:
                raise TypeError(f"optuna has no {kind}; SearchSpace refuses it")

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Ask a trial for a value, which is returned as Optuna has it."""
        match self.distribution:
            case FloatDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_float(name, low, high, step=step, log=log)
            case IntDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_int(name, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                return trial.suggest_categorical(name, choices)
            case other:
                raise TypeError(f"{name}: no suggestion for {other}")

    def from_optuna(self, value: Any) -> Value:
        """Convert a suggested value to the value in a configuration."""
        kind, args = self.sampler.kind, self.sampler.args
        if kind == "choice":
            choice: Value = args[_categories(args).index(value)]
            return choice
        if kind in ("quniform", "qloguniform"):
            # Optuna's steps are sums of floats; ours are multiples, so that 0.7 has one fingerprint.
            return multiple(args[2], round(value / args[2]))
        return float(value) if "uniform" in kind or kind in BELLS else int(value)

    def to_optuna(self, value: Value) -> Any:
        """Convert a value in a configuration to the value in the distribution."""
        if self.sampler.kind != "choice":
            return value
        args = self.sampler.args
        return _categories(args)[next(index for index, arg in enumerate(args) if alike(arg, value))]

    def contains(self, value: Value) -> bool:
        """Whether the distribution contains this value."""
        if self.sampler.kind in ("uniform", "loguniform", *BELLS):
            low, high = self._ends
            return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return self.sampler.can_be(value)

    @property
    def _ends(self) -> tuple[float, float]:
        known = self.distribution
        return (known.low, known.high) if isinstance(known, FloatDistribution) else (math.nan, math.nan)


class SuggestedParameter(OptunaParameter):
    """A parameter as a search suggests it: where Optuna has no such distribution, by its share of it."""

    @cached_property
    def distribution(self) -> BaseDistribution:
        """Optuna's, or that of a share."""
        return FloatDistribution(_TAIL, 1 - _TAIL) if self.sampler.by_share else super().distribution

    def from_optuna(self, value: Any) -> Value:
        """Convert a suggested value or share to the value in a configuration."""
        return self.sampler.quantile(float(value)) if self.sampler.by_share else super().from_optuna(value)

    def to_optuna(self, value: Value) -> Any:
        """Convert a value in a configuration to what is suggested for it."""
        if not self.sampler.by_share:
            return super().to_optuna(value)
        return min(max(self.sampler.share(value), _TAIL), 1 - _TAIL)

    @property
    def _ends(self) -> tuple[float, float]:
        return OptunaParameter(self.sampler)._ends


def _categories(values: tuple[Value, ...]) -> tuple[Any, ...]:
    """The categories of a choice: its values, or their texts if Optuna could confuse two values.

    Optuna confuses values that Python finds equal (``1`` and ``true``), and large whole numbers that are
    equal as floats. It takes no lists and mappings: if there are any, the categories are numbers, from 0.
    """
    if any(map(is_compound, values)):
        return tuple(range(len(values)))
    large = any(isinstance(value, int) and abs(value) > _LARGEST_EXACT for value in values)
    return values if len(set(values)) == len(values) and not large else tuple(map(literal, values))


def optuna_parameters(
    space: SearchSpace, form: type[OptunaParameter] = OptunaParameter
) -> dict[str, OptunaParameter]:
    """Every parameter of a space that has an Optuna distribution, by name: all but grids."""
    return {name: form(sampler) for name, sampler in space.space.items() if sampler.kind != "grid"}


def spanning(values: Sequence[Value], sampler: Sampler | None = None) -> Sampler:
    """A sampler that can give all these values: a range of numbers, else a choice of the values.

    Args:
        values: that were tried; equal ones count once.
        sampler: of the space, which says whether the range is logarithmic.
    """
    distinct = list({canonical(value): value for value in values}.values())
    numbers = [v for v in distinct if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(distinct) or _too_far_apart(numbers):
        return Sampler("choice", tuple(distinct))
    low, high = min(numbers), max(numbers)
    log = logarithmic(sampler, low, high)
    if all(isinstance(v, int) for v in numbers):
        return Sampler("lograndint" if log else "randint", (low, high + 1))
    return Sampler("loguniform" if log else "uniform", (low, high))


def _too_far_apart(numbers: Sequence[float]) -> bool:
    """Whether no axis could show these numbers side by side."""
    sizes = [math.log10(abs(number)) for number in numbers if number]
    return bool(sizes) and (max(sizes) > _LARGEST or max(sizes) - min(sizes) > _LONGEST)


def logarithmic(sampler: Sampler | None, low: float, high: float) -> bool:
    """Whether to show a parameter's numbers, from ``low`` to ``high``, on a logarithmic scale."""
    if sampler is not None and sampler.kind not in ("grid", "choice"):
        return low > 0 and "log" in sampler.kind
    return low > 0 and _LOG_RATIO <= high / low < math.inf


def frozen_trial(
    space: SearchSpace,
    history: History,
    configuration: Configuration,
    parameters: Mapping[str, OptunaParameter],
    attributes: Mapping[str, Any] | None = None,
    paused: TrialState = TrialState.RUNNING,
) -> FrozenTrial:
    """A configuration as a trial of a study, with ``attributes`` among its user attributes.

    It is RUNNING until all its training is done, and in the state ``paused`` while it waits. A duplicate has
    the outcome of the sample that it repeats. The values are what configurations are chosen by, one for each
    metric. A value that its distribution does not contain, such as one of ``configs:``, becomes a user
    attribute.
    """
    first = history.configurations[configuration.duplicate_of or configuration.sample]
    state, values = _outcome(space, history, first, paused)
    replicates = first.replicates(space)
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
        known["status"] = history.status(first, replicates, live=True)
    curves = {m.name: first.means(m.name, replicates) for m in space.metrics}
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
    space: SearchSpace, history: History, configuration: Configuration, paused: TrialState
) -> tuple[TrialState, list[float] | None]:
    """The state and the values; as in Optuna, one that was stopped has the last value of a single metric."""
    replicates = configuration.replicates(space)
    if configuration.paused:
        state = paused
    elif any(configuration.lacks(replicate, space.epochs) for replicate in replicates):
        state = TrialState.RUNNING
    else:
        state = _STATES[history.status(configuration, replicates, live=True)]
    if state is TrialState.PRUNED and len(space.metrics) == 1:
        return state, [*configuration.means(space.metric.name, replicates).values()][-1:] or None
    if state is not TrialState.COMPLETE:
        return state, None
    values = [configuration.choice(space, each) for each in space.metrics]
    known = [value for value in values if value is not None]
    return (state, known) if len(known) == len(values) else (TrialState.FAIL, None)


def directions(space: SearchSpace) -> list[StudyDirection]:
    """The direction of each metric, as Optuna has it."""
    return [
        StudyDirection.MAXIMIZE if metric.mode == "max" else StudyDirection.MINIMIZE
        for metric in space.metrics
    ]
