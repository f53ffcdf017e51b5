"""Optuna as the searcher: it is asked for each sample, and told every outcome.

The sampler has a study in memory. Each session makes it again from the record's events: the same asks and
tells in the same order restore the sampler's random state. No test metric enters the study, since a
sampler could read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tune_app.errors import FolderChanged, SpaceError, describe
from tune_app.search.conversion import (
    END_EVENTS,
    SAMPLE,
    OptunaParameter,
    SuggestedParameter,
    directions,
    frozen_trial,
    optuna_parameters,
)
from tune_app.search.sampler import make_sampler
from tune_app.search.study_file import StudyFile
from tune_app.space import Sampler, SearchSpace, Value, parse
from tune_app.space.planning import exists
from tune_app.space.scalars import alike
from tune_app.sweep.configurations import Configuration, mean
from tune_app.sweep.events import Epoch, Event, Extended, Planned, Undone
from tune_app.sweep.files import not_written
from tune_app.sweep.history import History
from tune_app.tasks import task_folder
from tune_app.text import Notify


class OptunaSearch:
    """Samples of a space from an Optuna sampler.

    Args:
        space: as it was when the run was created; ``catch_up`` applies the extensions in the record.
        path: ``study.db``, which ``catch_up`` writes; None for no file.
        name: the study's name in that file; default: that of the space.
        notify: shows a line to the user.
    """

    def __init__(
        self,
        space: SearchSpace,
        path: Path | None = None,
        name: str = "",
        notify: Notify = lambda _: None,
    ) -> None:
        self._space, self._path, self._name = space, path, name or space.name
        self._notify = notify
        self._parameters = optuna_parameters(space, SuggestedParameter)
        self._sampler = make_sampler(space)
        self._study = self._new_study()
        #: By sample: the number of its trial, how it ended when the sampler was told, and since.
        self._numbers: dict[int, int] = {}
        self._told: dict[int, FrozenTrial] = {}
        self._corrected: dict[int, FrozenTrial] = {}
        self._duplicates: dict[int, list[int]] = {}
        #: Whether no further point will be asked for.
        self._idle = False
        self._file: StudyFile | None = None
        #: The error that the sampler raised; it is not called again.
        self._error: SpaceError | None = None
        #: The first recorded sample that the sampler now suggests differently: another version, or machine.
        self.departs_at: int | None = None

    def _new_study(self) -> optuna.Study:
        self._storage = InMemoryStorage()
        made = optuna.create_study(
            storage=self._storage, sampler=self._sampler, directions=directions(self._space)
        )
        # A sampler that has suggested every point calls `stop`, which raises outside of `study.optimize`. The
        # space has the number of samples; a point that is suggested again trains nothing.
        setattr(made, "stop", lambda: None)  # noqa: B010 - mypy refuses an assignment to a method
        return made

    @contextmanager
    def _calling(self, when: str) -> Iterator[None]:
        """A call of the sampler: it may import modules beside its own, and what it raises is kept."""
        own = ":" in str(self._space.search.sampler)
        try:
            with task_folder.current().visible() if own else nullcontext():
                yield
        except SpaceError:
            raise
        except Exception as error:
            raise self._fault(f"raised when it was {when}: {describe(error)}") from error

    def _fault(self, what: str) -> SpaceError:
        text = f"{self._space.search.sampler} {what}\n  Correct it, or start a new run with another sampler."
        self._error = self._space.error("search.sampler", text)
        return self._error

    def ask(self, sample: int) -> dict[str, Value]:
        """The next point, with ``fixed``; conditional parameters only where they exist.

        Raises:
            SpaceError: the sampler raised, now or before, or suggested a value outside of the space.
        """
        if self._idle:
            raise RuntimeError("no sample is left to suggest: catch_up did not replay the record")
        if self._error is not None:
            raise self._error
        return self._ask(sample, None)

    def _ask(self, sample: int, recorded: Mapping[str, Value] | None) -> dict[str, Value]:
        """Ask the sampler; a ``recorded`` point replaces whatever it suggests now."""
        if self._corrected:
            self._replace_study()
        values: dict[str, Value] = dict(self._space.fixed)
        with self._calling(f"asked for sample {sample}"):
            trial = self._new_trial(sample)
            for name in _dependencies_first(self._space.space):
                if exists(name, self._space.space, values):
                    values[name] = self._suggest(sample, trial, name, recorded)
        order = [*self._space.space, *self._space.fixed]
        return {name: values[name] for name in order if name in values}

    def _new_trial(self, sample: int) -> optuna.Trial:
        trial = self._study.ask()
        trial.set_user_attr(SAMPLE, sample)
        self._numbers[sample] = trial.number
        return trial

    def _suggest(
        self, sample: int, trial: optuna.Trial, name: str, recorded: Mapping[str, Value] | None
    ) -> Value:
        parameter = self._parameters[name]
        suggested = parameter.suggest(trial, name)
        value = parameter.from_optuna(suggested)
        # Optuna accepts any value from a sampler
        if not (parameter.contains(value) or _is_bound(parameter, value)):
            kind, args = parameter.sampler.kind, list(parameter.sampler.args)
            raise self._fault(
                f"suggested {name} = {suggested!r} for sample {sample}, which is not in {kind} {args}"
            )
        if recorded is None or (name in recorded and alike(value, recorded[name])):
            return value
        self.departs_at = self.departs_at or sample
        value = recorded[name]
        internal = parameter.distribution.to_internal_repr(parameter.to_optuna(value))
        self._storage.set_trial_param(trial._trial_id, name, internal, parameter.distribution)
        return value

    def _replace_study(self) -> None:
        """Correct outcomes, which Optuna cannot change: make a new study, equal in all else.

        The sampler keeps its random state, and what it stored in the study's attributes.
        """
        attributes = self._storage.get_study_system_attrs(self._study._study_id)
        trials = self._study.get_trials()
        self._study = self._new_study()
        for key, value in attributes.items():
            self._storage.set_study_system_attr(self._study._study_id, key, value)
        for trial in trials:
            if now := self._corrected.get(trial.user_attrs[SAMPLE]):
                trial.state, trial.values = now.state, now.values
                trial.intermediate_values = now.intermediate_values
            self._storage.create_new_trial(self._study._study_id, template_trial=trial)
        self._corrected.clear()

    def trials(self) -> list[FrozenTrial]:
        """The trials that the sampler will see when it is asked the next time."""
        if self._corrected:
            self._replace_study()
        return self._study.get_trials()

    def observe(self, event: Event, history: History) -> None:
        """Learn from an event that is recorded and applied to ``history``. Sampler errors are not raised.

        A sampler that raises is not called again: ``ask`` raises its error. If ``study.db`` cannot be
        written, it is no longer updated.
        """
        self._learn(event, history)
        if file := self._file:
            self._update_file(lambda: file.observe(event, history))

    def _update_file(self, write: Callable[[], None]) -> None:
        try:
            write()
        except FolderChanged:  # ends the whole sweep
            raise
        except Exception as error:  # noqa: BLE001 - the sweep does not need the file
            self._file = None
            self._notify(not_written(self._path or Path("study.db"), error))

    def catch_up(self, events: Iterable[Event]) -> None:
        """Replay a whole record, which restores the sampler's random state and its study.

        Each outcome is told as it was then, by the seeds and epochs that were wanted then. If no further
        points will be asked for, the sampler is not replayed. Errors are treated as in ``observe``.
        """
        recorded = list(events)
        space, whole = self._space, History()
        for event in recorded:
            whole.apply(event)
        if whole.extensions:
            space = self._parsed(whole.extensions[-1])
        asked = sum(configuration.asked for configuration in whole.configurations.values())
        self._idle = asked >= (space.search.samples or 0)
        history = History()
        for event in recorded if not self._idle else ():
            history.apply(event)
            self._learn(event, history)
        self._space = space
        if self._path:
            self._file = file = StudyFile(self._path, self._name, space)
            self._update_file(lambda: file.write_history(whole))

    def _parsed(self, event: Extended | Undone) -> SearchSpace:
        return parse(event.space, file=self._space.file, name=self._space.name, recorded=True)

    def close(self) -> None:
        """Close the file."""
        if file := self._file:
            self._update_file(file.close)

    def _learn(self, event: Event, history: History) -> None:
        if self._idle or self._error is not None:
            return
        try:
            if isinstance(event, Extended | Undone):
                self._space = self._parsed(event)
                for sample in self._numbers.keys() - history.configurations.keys():
                    # Its number may be planned again. In the study it stays as a trial without a value.
                    with self._calling(f"told of sample {sample}"):
                        self._study.tell(self._numbers.pop(sample), state=TrialState.FAIL)
            elif isinstance(event, Planned):
                self._plan(history.configurations[event.sample], history)
            elif isinstance(event, Epoch):
                self._report(history.attempts[event.trial].sample, event)
            elif isinstance(event, END_EVENTS):
                ended = history.attempts[event.trial].sample
                for sample in (ended, *self._duplicates.get(ended, ())):
                    self._settle(history.configurations[sample], history)
        except SpaceError as error:
            self._error = error

    def _plan(self, configuration: Configuration, history: History) -> None:
        if configuration.sample not in self._numbers:
            if configuration.asked:
                self._ask(configuration.sample, configuration.config)
            else:
                self._add(configuration)
        if configuration.duplicate_of is not None:
            self._duplicates.setdefault(configuration.duplicate_of, []).append(configuration.sample)
            self._settle(configuration, history)

    def _add(self, configuration: Configuration) -> None:
        """Add a point that the sampler did not choose: one of ``configs:``, which are tried first.

        A point outside of the space is left out. The study cannot represent it, and one that lacks a
        parameter would remove it from what most samplers use: the parameters that all trials share.
        """
        fixed, known = self._space.fixed, self._parameters
        point = {
            name: value
            for name, value in configuration.config.items()
            if name not in fixed or not alike(value, fixed[name])
        }
        if all(name in known and known[name].contains(value) for name, value in point.items()):
            with self._calling(f"told of sample {configuration.sample}"):
                self._study.enqueue_trial(
                    {name: known[name].to_optuna(value) for name, value in point.items()}
                )
                trial = self._new_trial(configuration.sample)
                for name in point:
                    known[name].suggest(trial, name)

    def _known(self, sample: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._numbers[sample]]

    def _report(self, sample: int, event: Epoch) -> None:
        """Report a sample's value after an epoch, unless the same epoch was reported before a resume."""
        value = mean(event.metrics.get(self._space.metric.name, []))
        if sample in self._numbers and value is not None and len(self._space.metrics) == 1:
            trial = self._known(sample)
            if not trial.state.is_finished() and event.epoch not in trial.intermediate_values:
                self._storage.set_trial_intermediate_value(trial._trial_id, event.epoch, value)

    def _settle(self, configuration: Configuration, history: History) -> None:
        """Tell the outcome of a sample that has ended; correct an outcome that was told and has changed.

        It changes when a configuration that waited trains on, when a failed one is retried, and when seeds or
        epochs are added.
        """
        sample = configuration.sample
        if sample not in self._numbers:
            return
        # One that waits counts as pruned, or a sampler would learn nothing until the first ones end.
        now = frozen_trial(self._space, history, configuration, self._parameters, paused=TrialState.PRUNED)
        before = self._told.get(sample)
        if not now.state.is_finished() or (
            before and (before.state, before.values) == (now.state, now.values)
        ):
            return
        if before:
            self._corrected[sample] = now
        else:
            self._tell(sample, now)
        self._told[sample] = now

    def _tell(self, sample: int, trial: FrozenTrial) -> None:
        known = self._known(sample)
        for epoch, value in trial.intermediate_values.items():
            if epoch not in known.intermediate_values:  # none of a duplicate is
                self._storage.set_trial_intermediate_value(known._trial_id, epoch, value)
        values = trial.values if trial.state is TrialState.COMPLETE else None
        with self._calling(f"told of sample {sample}"):
            self._study.tell(known.number, values, state=trial.state)


def _is_bound(parameter: OptunaParameter, value: Value) -> bool:
    """Whether a value is a bound of its range up to rounding, as a logarithm causes it."""
    bounds = parameter.sampler.args if parameter.sampler.kind in ("uniform", "loguniform") else ()
    return isinstance(value, float) and any(math.isclose(value, bound) for bound in bounds)


def _dependencies_first(space: Mapping[str, Sampler]) -> list[str]:
    """The parameters in the order of the file, but each after those that its ``when`` names."""
    ordered: dict[str, None] = {}
    for name in space:
        waiting = [name]  # no recursion: conditions may form a chain of any length
        while waiting:
            before = [each for each in space[waiting[-1]].when if each in space and each not in ordered]
            if before:
                waiting += reversed(before)
            else:
                ordered.setdefault(waiting.pop())
    return list(ordered)
