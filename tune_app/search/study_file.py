"""A sweep as an Optuna study in a sqlite file: ``study.db``, which is made from the record, and exports.

No sampler reads it. It holds validation metrics only, so that nobody who opens it while the sweep searches
sees a test metric.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from tune_app.errors import StorageError, describe
from tune_app.search.distributions import optuna_parameters
from tune_app.search.study_trials import END_EVENTS, SAMPLE, directions, frozen_trial
from tune_app.space import SearchSpace
from tune_app.sweep.configurations import Configuration, mean
from tune_app.sweep.events import Epoch, Event, Planned
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import verify

#: What a file raises that is full, damaged, gone, or changed by somebody else.
FAULTS = (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, OSError, KeyError)

#: How long a write waits for a reader of the file, such as a dashboard; nothing is recorded meanwhile.
_LOCK_TIMEOUT_S = 5.0


class StudyFile:
    """A study in a sqlite file that Optuna and its dashboard can open.

    An existing file that ``trials`` continue is kept, with the notes that a user made in the dashboard;
    any other file is replaced. ``about`` holds the study's own user attributes.

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
        if path.is_file() and self._continue(name, space, trials):
            return
        try:
            path.unlink(missing_ok=True)  # sqlite plays no journal back into a file without pages
            self._create(name, space, about or {})
            self._ids = {each.user_attrs[SAMPLE]: self._new(each) for each in trials}
        except FAULTS as error:
            raise _as_storage_error(path, error) from error

    def _connect(self) -> sqlite3.Connection:
        # SQLAlchemy keeps a connection for each thread, and the thread that ends the session closes them all.
        connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
        # The file can be made again from the record, so a write need not wait for the disk.
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def _open(self) -> None:
        self._storage = RDBStorage("sqlite://", engine_kwargs={"creator": self._connect})

    def _create(self, name: str, space: SearchSpace, about: Mapping[str, Any]) -> None:
        self._open()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # metric names
            study = optuna.create_study(storage=self._storage, study_name=name, directions=directions(space))
            study.set_metric_names([metric.name for metric in space.metrics])
        for key, value in about.items():
            study.set_user_attr(key, value)
        self._study_id = self._storage.get_study_id_from_name(name)

    def _continue(self, name: str, space: SearchSpace, trials: Sequence[FrozenTrial]) -> bool:
        """Add ``trials`` to an existing file; False if it is not our study, or they do not continue it."""
        try:
            self._open()
            self._study_id = self._storage.get_study_id_from_name(name)
            existing = self._storage.get_all_trials(self._study_id)
            known = len(existing) <= len(trials) and all(map(_leads_to, existing, trials))
            if known and self._storage.get_study_directions(self._study_id) == directions(space):
                self._ids = {each.user_attrs[SAMPLE]: each._trial_id for each in existing}
                for old, new in zip(existing, trials, strict=False):
                    self._update(old, new)
                for new in trials[len(existing) :]:
                    self.add(new)
                # a file that somebody edited may still differ
                now = self._storage.get_all_trials(self._study_id)
                if all(
                    old.state == new.state and _leads_to(old, new)
                    for old, new in zip(now, trials, strict=True)
                ):
                    return True
            self.close()
        except Exception as error:  # damaged, of another version of Optuna, or forged
            with suppress(Exception):
                self.close()
            if _locked(error):
                raise _as_storage_error(self._path, error) from error
        return False

    def _update(self, old: FrozenTrial, new: FrozenTrial) -> None:
        if not old.state.is_finished():
            if new.state.is_finished():
                self.end(new)
            else:
                for epoch in new.intermediate_values.keys() - old.intermediate_values.keys():
                    self.report(new.user_attrs[SAMPLE], epoch, new.intermediate_values[epoch])

    def _new(self, trial: FrozenTrial) -> int:
        return self._storage.create_new_trial(self._study_id, template_trial=trial)

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that the file does not have yet."""
        self._ids[trial.user_attrs[SAMPLE]] = self._new(trial)

    def report(self, sample: int, epoch: int, value: float) -> None:
        """Add a running trial's value after an epoch."""
        self._storage.set_trial_intermediate_value(self._ids[sample], epoch, value)

    def end(self, trial: FrozenTrial) -> None:
        """Write how a running trial ended."""
        number = self._ids[trial.user_attrs[SAMPLE]]
        existing = self._storage.get_trial(number)
        for epoch, value in trial.intermediate_values.items():
            if existing.intermediate_values.get(epoch) != value:
                self._storage.set_trial_intermediate_value(number, epoch, value)
        for key, value in trial.user_attrs.items():
            self._storage.set_trial_user_attr(number, key, value)
        self._storage.set_trial_state_values(number, trial.state, trial.values)

    def close(self) -> None:
        """Close the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _leads_to(old: FrozenTrial, new: FrozenTrial) -> bool:
    """Whether a trial in the file may become ``new``, or is equal to it."""
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


def _locked(error: Exception) -> bool:
    """Whether another process keeps the file locked; then the file must not be replaced."""
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
        f"{path}: the study cannot be written: {describe(cause)}. Nothing is lost: the next session "
        "writes it again from the record."
    )


class StudyView:
    """``study.db`` while its sweep trains: made from the record, then updated after each event."""

    def __init__(self, path: Path, name: str, space: SearchSpace, history: History) -> None:
        self._path, self._name, self._space = path, name, space
        self._parameters = optuna_parameters(space)
        self._file = self._write(history)

    def _write(self, history: History) -> StudyFile:
        self._running: set[int] = set()
        trials = [self._trial(history, c) for c in history.configurations.values()]
        self._running = {each.user_attrs[SAMPLE] for each in trials if not each.state.is_finished()}
        self._reported = {each.user_attrs[SAMPLE]: set(each.intermediate_values) for each in trials}
        return StudyFile(self._path, self._name, self._space, trials)

    def _trial(self, history: History, configuration: Configuration) -> FrozenTrial:
        return frozen_trial(self._space, history, configuration, self._parameters)

    def observe(self, event: Event, history: History) -> None:
        """Add an event that is recorded and applied to ``history``.

        A file that is damaged, gone, or changed by somebody else is written again.

        Raises:
            StorageError: the disk refused it, or another process keeps it locked.
            FolderChanged: the path now leads to another folder than the one that was opened.
        """
        verify(self._path)
        try:
            self._add(event, history)
        except FAULTS as error:
            if _locked(error):
                raise _as_storage_error(self._path, error) from error
            with suppress(*FAULTS):
                self._file.close()
            self._file = self._write(history)

    def _add(self, event: Event, history: History) -> None:
        if isinstance(event, Planned):
            self._add_trial(history, history.configurations[event.sample])
        elif isinstance(event, Epoch):
            self._add_value(history.attempts[event.trial].sample, event)
        elif isinstance(event, END_EVENTS):
            sample = history.attempts[event.trial].sample
            for configuration in history.configurations.values():
                if sample in (configuration.sample, configuration.duplicate_of):
                    self._end_trial(history, configuration)

    def _add_trial(self, history: History, configuration: Configuration) -> None:
        made = self._trial(history, configuration)
        self._file.add(made)
        self._reported[configuration.sample] = set(made.intermediate_values)
        if not made.state.is_finished():
            self._running.add(configuration.sample)

    def _add_value(self, sample: int, event: Epoch) -> None:
        value = mean(event.metrics.get(self._space.metric.name, []))
        new = value is not None and event.epoch not in self._reported[sample]
        if value is not None and new and sample in self._running and len(self._space.metrics) == 1:
            self._reported[sample].add(event.epoch)
            self._file.report(sample, event.epoch, value)

    def _end_trial(self, history: History, configuration: Configuration) -> None:
        if configuration.sample not in self._running:
            return
        made = self._trial(history, configuration)
        if made.state.is_finished():
            self._file.end(made)
            self._running.discard(configuration.sample)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
