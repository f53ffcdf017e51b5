"""Optuna as the searcher: one ``ask`` a sample, and every outcome told back.

The sampler works on a study in memory, which is made again from the record's events at each sitting: the
same asks and tells in the same order bring its random state to where it was. No test metric ever enters
it, since a sampler could read it.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tune_app.errors import FolderChanged, SpaceError, describe
from tune_app.search import study
from tune_app.search.study import SAMPLE, Axis, Outcome, View
from tune_app.space import Sampler, Scalar, SearchSpace, parse
from tune_app.space.planning import exists
from tune_app.space.scalars import alike
from tune_app.sweep import views
from tune_app.sweep.events import Epoch, Event, Extended, Planned, Undone
from tune_app.sweep.history import Configuration, History, mean
from tune_app.tasks import task_folder


def make_sampler(space: SearchSpace) -> BaseSampler:
    """The sampler that ``search.sampler`` names, seeded with the space's seed.

    Raises:
        SpaceError: a ``module:Class`` that cannot be imported, made, or is no sampler.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # chosen knowingly
        return _sampler(space, str(space.search.sampler), space.seed)


def _sampler(space: SearchSpace, name: str, seed: int) -> BaseSampler:
    samplers = optuna.samplers
    match name:
        case "tpe":
            return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "qmc":
            return samplers.QMCSampler(
                seed=seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
            )
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case _:
            return _own_sampler(space, name)


def _own_sampler(space: SearchSpace, reference: str) -> BaseSampler:
    module, _, attribute = reference.partition(":")
    try:
        with task_folder.current().code(module):
            made = getattr(importlib.import_module(module), attribute)(seed=space.seed)
    except Exception as error:
        raise space.error(
            "search.sampler", f"{reference}(seed={space.seed}) raised {describe(error)}"
        ) from error
    if not isinstance(made, BaseSampler):
        raise space.error(
            "search.sampler", f"{reference} makes a {type(made).__name__}; it must make an optuna BaseSampler"
        )
    return made


class OptunaSearch:
    """Samples of a space from an Optuna sampler.

    Args:
        space: as the run began with it; extensions take their effect where they stand in the record.
        path: the file that shows the study, made anew by ``catch_up``; None for none.
        name: what the study is called there.
        tell: says a line to the user.
    """

    def __init__(
        self,
        space: SearchSpace,
        path: Path | None = None,
        name: str = "",
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._space, self._path, self._name = space, path, name or space.name
        self._tell_user = tell
        self._axes = study.axes(space)
        self._sampler = make_sampler(space)
        self._study = self._new_study()
        self._numbers: dict[int, int] = {}
        self._reported: dict[int, set[int]] = {}
        self._told: dict[int, Outcome] = {}
        self._corrected: dict[int, FrozenTrial] = {}
        self._twins: dict[int, list[int]] = {}
        self._planned: set[int] = set()
        self._idle = False
        self._view: View | None = None
        #: What the sampler has raised; it is not called again after that.
        self._broken: SpaceError | None = None
        #: The first sample that the sampler would suggest otherwise now: of another version, or elsewhere.
        self.departs_at: int | None = None

    def _new_study(self) -> optuna.Study:
        self._storage = InMemoryStorage()
        made = optuna.create_study(
            storage=self._storage, sampler=self._sampler, directions=study.directions(self._space)
        )
        # A sampler that has suggested every point calls this, and it raises outside of `study.optimize`. The
        # space says how many samples there are; a point that is suggested again trains nothing.
        setattr(made, "stop", lambda: None)  # noqa: B010 - mypy refuses an assignment to a method
        return made

    # ------------------------------------------------------------ suggestions

    def ask(self, sample: int) -> dict[str, Scalar]:
        """The next point, ``fixed`` merged in; conditional parameters only where they exist.

        Raises:
            SpaceError: the sampler raised, now or before, or suggested a value outside of the space.
        """
        if self._idle:
            raise RuntimeError("nothing is left to be suggested: the sampler was not caught up")
        if self._broken is None:
            try:
                with self._its_modules():
                    return self._ask(sample, None)
            except SpaceError as error:
                self._broken = error
        raise self._broken

    def _ask(self, sample: int, recorded: Mapping[str, Scalar] | None) -> dict[str, Scalar]:
        """Ask the sampler; where a point is ``recorded``, it stands, whatever is suggested now."""
        if self._corrected:
            self._renew()
        values: dict[str, Scalar] = dict(self._space.fixed)
        try:
            trial = self._study.ask()
            self._register(sample, trial)
            for name in _dependencies_first(self._space.space):
                if exists(name, self._space.space, values):
                    values[name] = self._suggest(sample, trial, name, recorded)
        except SpaceError:
            raise
        except Exception as error:
            raise self._raised(f"it was asked for sample {sample}", error) from error
        order = [*self._space.space, *self._space.fixed]
        return {name: values[name] for name in order if name in values}

    def _raised(self, when: str, error: Exception) -> SpaceError:
        return self._faulty(f"raised when {when}: {describe(error)}")

    def _faulty(self, what: str) -> SpaceError:
        text = f"{self._space.search.sampler} {what}\n  Correct it, or start a new run with another sampler."
        return self._space.error("search.sampler", text)

    def _suggest(
        self, sample: int, trial: optuna.Trial, name: str, recorded: Mapping[str, Scalar] | None
    ) -> Scalar:
        axis = self._axes[name]
        suggested = axis.suggest(trial, name)
        value = axis.ours(suggested)
        if not (axis.holds(value) or _at_an_end(axis, value)):  # Optuna accepts any value from a sampler
            kind, args = axis.sampler.kind, list(axis.sampler.args)
            raise self._faulty(
                f"suggested {name} = {suggested!r} for sample {sample}, which is not in {kind} {args}"
            )
        if recorded is None or (name in recorded and alike(value, recorded[name])):
            return value
        self.departs_at = self.departs_at or sample
        value = recorded[name]
        internal = axis.distribution.to_internal_repr(axis.theirs(value))
        self._storage.set_trial_param(trial._trial_id, name, internal, axis.distribution)
        return value

    def _add(self, sample: int, point: Mapping[str, Scalar]) -> None:
        """Take in a point that the sampler did not choose: one of ``configs:``, tried before the others."""
        theirs = {name: self._axes[name].theirs(value) for name, value in point.items()}
        try:
            self._study.enqueue_trial(theirs)
            trial = self._study.ask()
            self._register(sample, trial)
            for name in theirs:
                self._axes[name].suggest(trial, name)
        except Exception as error:
            raise self._raised(f"it was told of sample {sample}", error) from error

    def _register(self, sample: int, trial: optuna.Trial) -> None:
        trial.set_user_attr(SAMPLE, sample)
        self._numbers[sample] = trial.number
        self._reported[sample] = set()

    def _renew(self) -> None:
        """Put corrected outcomes into the study. Optuna takes none back, so it is another study, else equal.

        The sampler goes on, with its random state and with what it keeps in the study's own attributes.
        """
        old, trials = self._storage, self._study.get_trials()
        attributes = old.get_study_system_attrs(old.get_study_id_from_name(self._study.study_name))
        self._study = self._new_study()
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        for key, value in attributes.items():
            self._storage.set_study_system_attr(study_id, key, value)
        for trial in trials:
            if now := self._corrected.get(trial.user_attrs[SAMPLE]):
                trial.state, trial.values = now.state, now.values
                trial.intermediate_values = now.intermediate_values
            self._storage.create_new_trial(study_id, template_trial=trial)
        self._corrected.clear()

    def trials(self) -> list[FrozenTrial]:
        """What the sampler will see when it is asked the next time."""
        if self._corrected:
            self._renew()
        return self._study.get_trials()

    # ------------------------------------------------------------ outcomes

    def observe(self, event: Event, history: History) -> None:
        """Take in an event that has been recorded, and folded into ``history``. It never raises.

        A sampler that raises is asked for nothing more: ``ask`` says why. ``study.db`` is left out once it
        cannot be written.
        """
        self._learn_unless_idle(event, history)
        if view := self._view:
            self._keep_view(lambda: view.observe(event, history))

    def _its_modules(self) -> AbstractContextManager[None]:
        """Where a sampler of the user's own finds what it imports late."""
        own = ":" in str(self._space.search.sampler)
        return task_folder.current().visible() if own else nullcontext()

    def _learn_unless_idle(self, event: Event, history: History) -> None:
        if not self._idle and self._broken is None:
            try:
                with self._its_modules():
                    self._learn(event, history)
            except SpaceError as error:
                self._broken = error

    def _keep_view(self, write: Callable[[], None]) -> None:
        try:
            write()
        except FolderChanged:  # which concerns the whole sweep
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the sweep does not need the file
            self._view = None
            self._tell_user(views.left_out(self._path or Path("study.db"), error))

    def catch_up(self, events: Iterable[Event]) -> None:
        """Take in a whole record, so that the sampler's random state and its study are where it is.

        What was told then hangs on the seeds and epochs that were wanted then. Where no more points will
        be asked for, the sampler is left alone. Errors are treated as in ``observe``.
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
            self._learn_unless_idle(event, history)
        self._space = space
        if path := self._path:
            self._keep_view(lambda: self._open_view(path, whole))

    def _parsed(self, event: Extended | Undone) -> SearchSpace:
        return parse(event.space, file=self._space.file, name=self._space.name, recorded=True)

    def _open_view(self, path: Path, history: History) -> None:
        self._view = View(path, self._name, self._space, history)

    def close(self) -> None:
        """Let go of the file."""
        if view := self._view:
            self._keep_view(view.close)

    def _learn(self, event: Event, history: History) -> None:
        if isinstance(event, Extended | Undone):
            self._space = self._parsed(event)
            for sample in self._numbers.keys() - history.configurations.keys():
                # Its number is free again. In the study it is a trial without a value.
                self._study.tell(self._numbers.pop(sample), state=TrialState.FAIL)
        elif isinstance(event, Planned):
            self._observe_planned(history.configurations[event.sample], history)
        elif isinstance(event, Epoch):
            self._report(history.attempts[event.trial].sample, event)
        elif isinstance(event, study.ENDS):
            sample = history.attempts[event.trial].sample
            for each in (sample, *self._twins.get(sample, ())):
                self._settle(history.configurations[each], history)

    def _observe_planned(self, configuration: Configuration, history: History) -> None:
        sample = configuration.sample
        if sample not in self._numbers:
            if configuration.asked:
                self._ask(sample, configuration.config)
            elif (point := self._inside(configuration)) is not None:
                self._add(sample, point)
        if configuration.twin is not None:
            self._twins.setdefault(configuration.twin, []).append(sample)
            self._settle(configuration, history)

    def _inside(self, configuration: Configuration) -> dict[str, Scalar] | None:
        """What the space searches of a point; None for a point outside of it.

        Such a point would be taken for what it is not, or take a parameter out of what most samplers see
        as the common space.
        """
        fixed, config = self._space.fixed, configuration.config
        point = {name: value for name, value in config.items() if name not in fixed}
        held = all(name in self._axes and self._axes[name].holds(value) for name, value in point.items())
        return point if held else None

    def _report(self, sample: int, event: Epoch) -> None:
        """A sample's value after an epoch; one that is trained again after a resume is known already."""
        epoch, value = event.epoch, mean(event.metrics.get(self._space.metric.name, []))
        running = sample in self._numbers and sample not in self._told and len(self._space.metrics) == 1
        if running and value is not None and epoch not in self._reported[sample]:
            self._reported[sample].add(epoch)
            self._storage.set_trial_intermediate_value(self._id(sample), epoch, value)

    def _id(self, sample: int) -> int:
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, self._numbers[sample])

    def _settle(self, configuration: Configuration, history: History) -> None:
        """Tell how a sample ended, if it has; where that was told before and is otherwise now, correct it.

        It is otherwise when what had failed is tried again, or when more seeds or epochs were wanted.
        """
        sample = configuration.sample
        now = study.outcome(self._space, history, configuration)
        if sample not in self._numbers or not now.ended or self._told.get(sample) == now:
            return
        trial = study.trial(self._space, history, configuration, self._axes)
        if sample in self._told:
            self._corrected[sample] = trial
        else:
            self._tell(sample, trial)
        self._told[sample] = now

    def _tell(self, sample: int, trial: FrozenTrial) -> None:
        for epoch, value in trial.intermediate_values.items():
            if epoch not in self._reported[sample]:  # of a twin, none is
                self._storage.set_trial_intermediate_value(self._id(sample), epoch, value)
        values = trial.values if trial.state is TrialState.COMPLETE else None
        try:
            self._study.tell(self._numbers[sample], values, state=trial.state)
        except Exception as error:
            raise self._raised(f"it was told of sample {sample}", error) from error


def _at_an_end(axis: Axis, value: Scalar) -> bool:
    """Whether a value is an end of its range but for rounding, as of a logarithm."""
    ends = axis.sampler.args if axis.sampler.kind in ("uniform", "loguniform") else ()
    return isinstance(value, float) and any(math.isclose(value, end) for end in ends)


def _dependencies_first(space: Mapping[str, Sampler]) -> list[str]:
    """Parameters in the order of the file, but each after those that its ``when`` names."""
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
