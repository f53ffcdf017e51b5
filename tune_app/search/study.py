"""A sweep as an Optuna study, made from its record: what ``study.db`` shows, and what is exported.

No sampler reads it. It holds validation metrics alone: a file that is written while a sweep searches
should not even look as if the test set had been seen.
"""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tune_app.errors import StorageError, describe
from tune_app.space import Sampler, Scalar, SearchSpace
from tune_app.space.samplers import multiple, steps
from tune_app.space.scalars import alike, literal
from tune_app.sweep.events import Decision, Diverged, Epoch, Event, Failed, Finished, Planned, Stopped
from tune_app.sweep.history import Configuration, History, mean
from tune_app.sweep.opened_folder import verify

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: The user attribute of a study's trial that holds our sample number.
SAMPLE = "sample"

#: How a configuration ends, in Optuna's words.
STATES = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
}

#: Kinds of samplers that Optuna has.
KINDS = ("choice", "uniform", "loguniform", "quniform", "randint", "lograndint", "qrandint")

#: A grid's numbers count as logarithmic from this ratio of the largest to the smallest on.
_LOG_RATIO = 50

#: Whole numbers up to here are exact as floats.
_EXACT = 2**53

#: How long a write waits for whoever reads the file, a dashboard for one; meanwhile nothing is recorded.
_PATIENCE_S = 5.0


# ---------------------------------------------------------------- parameters


@dataclass(frozen=True)
class Axis:
    """One parameter as Optuna knows it: its distribution, and values in our terms and in theirs."""

    sampler: Sampler
    distribution: BaseDistribution

    @staticmethod
    def of(sampler: Sampler) -> Axis:
        """Optuna's integer and stepped ranges include their upper bound; ``randint`` does not."""
        return Axis(sampler, _distribution(sampler))

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Ask a trial for a value, in Optuna's terms."""
        match self.distribution:
            case FloatDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_float(name, low, high, step=step, log=log)
            case IntDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_int(name, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                return trial.suggest_categorical(name, choices)
            case other:
                raise TypeError(f"{name}: no suggestion for {other}")

    def ours(self, value: Any) -> Scalar:
        """A suggested value as a configuration has it."""
        kind, args = self.sampler.kind, self.sampler.args
        if kind == "choice":
            return args[_labels(args).index(value)]  # type: ignore[no-any-return]
        if kind == "quniform":
            # Optuna's steps are sums of floats; ours are multiples, so that 0.7 has one fingerprint.
            return multiple(args[2], round(value / args[2]))
        return float(value) if "uniform" in kind else int(value)

    def theirs(self, value: Scalar) -> Any:
        """A configuration's value as the distribution has it."""
        if self.sampler.kind != "choice":
            return value
        args = self.sampler.args
        return _labels(args)[next(index for index, arg in enumerate(args) if alike(arg, value))]

    def holds(self, value: Scalar) -> bool:
        """Whether the distribution has this value."""
        if self.sampler.kind in ("uniform", "loguniform"):
            low, high = self.sampler.args
            return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return self.sampler.can_be(value)


def _distribution(sampler: Sampler) -> BaseDistribution:
    match sampler.kind, sampler.args:
        case "choice", values:
            return CategoricalDistribution(_labels(values))
        case "uniform", (low, high):
            return FloatDistribution(low, high)
        case "loguniform", (low, high):
            return FloatDistribution(low, high, log=True)
        case "quniform", (low, high, q):
            return FloatDistribution(low, high, step=q)
        case "randint", (low, high):
            return IntDistribution(low, high - 1)
        case "lograndint", (low, high):
            return IntDistribution(low, high - 1, log=True)
        case "qrandint", (low, high, q):
            first, last = steps(low, high, q)
            return IntDistribution(first * q, last * q, step=q)
        case kind, _:
            raise TypeError(f"optuna has no {kind}; SearchSpace refuses it")


def _labels(values: tuple[Scalar, ...]) -> tuple[Any, ...]:
    """The categories of a choice: its values, or their texts where Optuna would take two for one.

    That is so where Python does, for ``1`` and ``true``, and where floats do, for large whole numbers.
    """
    large = any(isinstance(value, int) and abs(value) > _EXACT for value in values)
    return values if len(set(values)) == len(values) and not large else tuple(map(literal, values))


def axes(space: SearchSpace) -> dict[str, Axis]:
    """Every parameter of a space that Optuna can hold."""
    return {name: Axis.of(sampler) for name, sampler in space.space.items() if sampler.kind in KINDS}


def logarithmic(sampler: Sampler | None, low: float, high: float) -> bool:
    """Whether the numbers of a parameter, from ``low`` to ``high``, are best seen by orders of magnitude."""
    if sampler is not None and sampler.kind not in ("grid", "choice"):
        return low > 0 and "log" in sampler.kind
    return low > 0 and _LOG_RATIO <= high / low < math.inf


# ---------------------------------------------------------------- outcomes


@dataclass(frozen=True)
class Outcome:
    """How a configuration stands: RUNNING until nothing of it is left to be trained."""

    state: TrialState
    values: tuple[float, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.state is not TrialState.RUNNING


def outcome(space: SearchSpace, history: History, configuration: Configuration) -> Outcome:
    """How a configuration stands, a twin like the one that it repeats.

    Its values are the means over the seeds at the evaluated epoch, one a metric. One that was stopped has
    as its value what it had reached, as in Optuna, where the space has one metric.
    """
    first = history.configurations[configuration.twin or configuration.sample]
    replicates = space.replicate_numbers
    if any(first.lacks(replicate, space.epochs) for replicate in replicates):
        return Outcome(TrialState.RUNNING)
    state = STATES[history.status(first, replicates, live=True)]
    if state is TrialState.PRUNED and len(space.metrics) == 1:
        reached = list(first.means(space.metric.name, replicates).values())
        return Outcome(state, tuple(reached[-1:]) or None)
    if state is not TrialState.COMPLETE:
        return Outcome(state)
    values = [first.value(metric, space.evaluate, replicates, space.metric) for metric in space.metrics]
    known = tuple(value for value in values if value is not None)
    return Outcome(state, known) if len(known) == len(values) else Outcome(TrialState.FAIL)


def trial(
    space: SearchSpace,
    history: History,
    configuration: Configuration,
    known: Mapping[str, Axis],
    more: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A configuration as a trial of a study, with ``more`` user attributes.

    A value that its distribution cannot hold, as a point of ``configs:`` may have, stands among the user
    attributes instead.
    """
    first = history.configurations[configuration.twin or configuration.sample]
    stands = outcome(space, history, configuration)
    attributes: dict[str, Any] = {SAMPLE: configuration.sample}
    params, outside = {}, {}
    for name, value in configuration.config.items():
        if name in known and known[name].holds(value):
            params[name] = known[name].theirs(value)
        elif name in space.space:
            outside[name] = value
    if outside:
        attributes["outside"] = outside
    if configuration.twin is not None:
        attributes["twin"] = configuration.twin
    if stands.ended:
        attributes["status"] = history.status(first, space.replicate_numbers, live=True)
    curves = {m.name: first.means(m.name, space.replicate_numbers) for m in space.metrics}
    if len(curves) > 1:
        attributes |= {f"{name}_by_epoch": list(values.values()) for name, values in curves.items()}
    began, ended = _times(configuration)
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=stands.state,
        value=None,
        values=stands.values,
        datetime_start=began,
        datetime_complete=ended if stands.ended else None,
        params=params,
        distributions={name: known[name].distribution for name in params},
        user_attrs={**attributes, **(more or {})},
        system_attrs={},
        intermediate_values=curves[space.metric.name] if len(curves) == 1 else {},
    )


def _times(configuration: Configuration) -> tuple[datetime, datetime]:
    """When it was begun and when it ended; a twin takes no time."""
    attempts = configuration.attempts
    began = min((each.started_at for each in attempts), default=configuration.planned_at)
    ended = max((each.last_at for each in attempts), default=configuration.planned_at)
    return datetime.fromtimestamp(began), datetime.fromtimestamp(ended)


# ---------------------------------------------------------------- the file


class File:
    """A study in a sqlite file, which Optuna and its dashboard open as it is.

    What is there already is kept as far as ``trials`` go on from it, and with it what somebody has noted in
    the dashboard; else the file is made anew. ``about`` are the study's own user attributes.

    Raises:
        StorageError: the disk refused it, or another process keeps it locked.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: SearchSpace,
        trials: Sequence[FrozenTrial],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = path
        verify(path)
        if path.is_file() and self._goes_on(name, space, trials):
            return
        try:
            path.unlink(missing_ok=True)  # sqlite plays no journal back into a file without pages
            self._begin(name, space, about or {})
            self._ids = {each.user_attrs[SAMPLE]: self._new(each) for each in trials}
        except FAULTS as error:
            raise _as_storage_error(path, error) from error

    def _connect(self) -> sqlite3.Connection:
        # SQLAlchemy keeps a connection for each thread, and whoever ends the session closes those of all.
        connection = sqlite3.connect(self._path, timeout=_PATIENCE_S, check_same_thread=False)
        # The record is the truth and can make this file again, so it need not wait for the disk.
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def _open(self) -> None:
        self._storage = RDBStorage("sqlite://", engine_kwargs={"creator": self._connect})

    def _begin(self, name: str, space: SearchSpace, about: Mapping[str, Any]) -> None:
        self._open()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # names of metrics
            study = optuna.create_study(storage=self._storage, study_name=name, directions=directions(space))
            study.set_metric_names([metric.name for metric in space.metrics])
        for key, value in about.items():
            study.set_user_attr(key, value)
        self._study_id = self._storage.get_study_id_from_name(name)

    def _goes_on(self, name: str, space: SearchSpace, trials: Sequence[FrozenTrial]) -> bool:
        """Bring what is there up to ``trials``; False where that cannot be, or it is no study of ours."""
        try:
            self._open()
            self._study_id = self._storage.get_study_id_from_name(name)
            there = self._storage.get_all_trials(self._study_id)
            known = len(there) <= len(trials) and all(map(_leads_to, there, trials))
            if known and self._storage.get_study_directions(self._study_id) == directions(space):
                self._ids = {each.user_attrs[SAMPLE]: each._trial_id for each in there}
                for old, new in zip(there, trials, strict=False):
                    self._bring(old, new)
                for new in trials[len(there) :]:
                    self.add(new)
                now = self._storage.get_all_trials(self._study_id)  # what was meddled with may fit no better
                if all(
                    old.state == new.state and _leads_to(old, new)
                    for old, new in zip(now, trials, strict=True)
                ):
                    return True
            self.close()
        except Exception as error:  # damaged, of another version of Optuna, or made up by a stranger
            with suppress(Exception):
                self.close()
            if _locked(error):
                raise _as_storage_error(self._path, error) from error
        return False

    def _bring(self, old: FrozenTrial, new: FrozenTrial) -> None:
        if not old.state.is_finished():
            if new.state.is_finished():
                self.end(new)
            else:
                for epoch in new.intermediate_values.keys() - old.intermediate_values.keys():
                    self.report(new.user_attrs[SAMPLE], epoch, new.intermediate_values[epoch])

    def _new(self, trial: FrozenTrial) -> int:
        return self._storage.create_new_trial(self._study_id, template_trial=trial)

    def add(self, trial: FrozenTrial) -> None:
        """A trial that was not there yet."""
        self._ids[trial.user_attrs[SAMPLE]] = self._new(trial)

    def report(self, sample: int, epoch: int, value: float) -> None:
        """A running trial's value after an epoch."""
        self._storage.set_trial_intermediate_value(self._ids[sample], epoch, value)

    def end(self, trial: FrozenTrial) -> None:
        """A running trial has ended so."""
        number = self._ids[trial.user_attrs[SAMPLE]]
        there = self._storage.get_trial(number)
        for epoch, value in trial.intermediate_values.items():
            if there.intermediate_values.get(epoch) != value:
                self._storage.set_trial_intermediate_value(number, epoch, value)
        for key, value in trial.user_attrs.items():
            self._storage.set_trial_user_attr(number, key, value)
        self._storage.set_trial_state_values(number, trial.state, trial.values)

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _leads_to(old: FrozenTrial, new: FrozenTrial) -> bool:
    """Whether a trial that is in a file may become ``new``, or is so already."""
    if (old.params, old.distributions) != (new.params, new.distributions):
        return False
    if not old.state.is_finished():
        same = old.user_attrs.get(SAMPLE) == new.user_attrs[SAMPLE]
        return same and old.intermediate_values.items() <= new.intermediate_values.items()
    return (
        (old.state, old.values) == (new.state, new.values)
        and old.intermediate_values == new.intermediate_values
        and new.user_attrs.items() <= old.user_attrs.items()
    )


#: What a file that is full, damaged, gone, or changed by somebody else raises.
FAULTS = (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, OSError, KeyError)


def _locked(error: Exception) -> bool:
    """Whether another process keeps the file locked: a new one in its place would take it from them."""
    return any(
        getattr(each, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        for each in (
            error,
            error.__cause__,
            getattr(error, "orig", None),
            getattr(error.__cause__, "orig", None),
        )
    )


def _as_storage_error(path: Path, error: Exception) -> StorageError:
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return StorageError(
        f"{path}: the study cannot be written: {describe(cause)}. The record has all "
        "that is in there, and the next session writes it again."
    )


class View:
    """``study.db`` while its sweep trains: brought up to the record, then kept up with it."""

    def __init__(self, path: Path, name: str, space: SearchSpace, history: History) -> None:
        self._path, self._name, self._space = path, name, space
        self._axes = axes(space)
        self._file = self._make(history)

    def _make(self, history: History) -> File:
        self._running: set[int] = set()
        trials = [self._trial(history, c) for c in history.configurations.values()]
        self._running = {each.user_attrs[SAMPLE] for each in trials if not each.state.is_finished()}
        self._reported = {each.user_attrs[SAMPLE]: set(each.intermediate_values) for each in trials}
        return File(self._path, self._name, self._space, trials)

    def _trial(self, history: History, configuration: Configuration) -> FrozenTrial:
        return trial(self._space, history, configuration, self._axes)

    def observe(self, event: Event, history: History) -> None:
        """Take in an event that has been recorded, and folded into ``history``.

        A file that is damaged, gone, or changed by somebody else is made again.

        Raises:
            StorageError: the disk refused it, or another process keeps it locked.
            FolderChanged: it would be written into another folder than the one that was opened.
        """
        verify(self._path)
        try:
            self._take_in(event, history)
        except FAULTS as error:
            if _locked(error):
                raise _as_storage_error(self._path, error) from error
            with suppress(*FAULTS):
                self._file.close()
            self._file = self._make(history)

    def _take_in(self, event: Event, history: History) -> None:
        if isinstance(event, Planned):
            self._plan(history, history.configurations[event.sample])
        elif isinstance(event, Epoch):
            self._report(history.attempts[event.trial].sample, event)
        elif isinstance(event, ENDS):
            sample = history.attempts[event.trial].sample
            for configuration in history.configurations.values():
                if sample in (configuration.sample, configuration.twin):
                    self._settle(history, configuration)

    def _plan(self, history: History, configuration: Configuration) -> None:
        made = self._trial(history, configuration)
        self._file.add(made)
        self._reported[configuration.sample] = set(made.intermediate_values)
        if not made.state.is_finished():
            self._running.add(configuration.sample)

    def _report(self, sample: int, event: Epoch) -> None:
        value = mean(event.metrics.get(self._space.metric.name, []))
        new = value is not None and event.epoch not in self._reported[sample]
        if value is not None and new and sample in self._running and len(self._space.metrics) == 1:
            self._reported[sample].add(event.epoch)
            self._file.report(sample, event.epoch, value)

    def _settle(self, history: History, configuration: Configuration) -> None:
        if configuration.sample not in self._running:
            return
        made = self._trial(history, configuration)
        if made.state.is_finished():
            self._file.end(made)
            self._running.discard(configuration.sample)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


#: The events with which a configuration may have ended.
ENDS = (Finished, Decision, Stopped, Diverged, Failed)


def directions(space: SearchSpace) -> list[StudyDirection]:
    """The direction of each metric, in Optuna's words."""
    return [
        StudyDirection.MAXIMIZE if metric.mode == "max" else StudyDirection.MINIMIZE
        for metric in space.metrics
    ]
