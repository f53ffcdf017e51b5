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
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tune_app.errors import StorageError, describe
from tune_app.search.conversion import END_EVENTS, SAMPLE, directions, frozen_trial, optuna_parameters
from tune_app.space import SearchSpace
from tune_app.sweep.configurations import mean
from tune_app.sweep.events import Batch, Epoch, Event, Planned
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import verify

#: What a file raises that is full, damaged, gone, or changed by somebody else.
FAULTS = (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, OSError, KeyError)

#: How long a write waits for a reader of the file, such as a dashboard; nothing is recorded meanwhile.
_LOCK_TIMEOUT_S = 5.0


class StudyFile:
    """A study in a sqlite file that Optuna and its dashboard can open: ``study.db``, or an export."""

    def __init__(self, path: Path, name: str, space: SearchSpace) -> None:
        self._path, self._name, self._space = path, name, space
        self._parameters = optuna_parameters(space)
        #: Optuna's number of each trial that has not ended, by our sample.
        self._running: dict[int, int] = {}

    def write(self, trials: Sequence[FrozenTrial], about: Mapping[str, Any] | None = None) -> None:
        """Bring the file up to date; ``about`` holds the study's own user attributes.

        An existing file that ``trials`` continue is kept, with the notes that a user made in the dashboard;
        any other file is replaced.

        Raises:
            StorageError: the disk refused it, or another process keeps it locked.
            FolderChanged: the path now leads to another folder than the one that was opened.
        """
        verify(self._path)
        if self._path.is_file() and self._continue(trials):
            return
        try:
            self._path.unlink(missing_ok=True)  # sqlite plays no journal back into a file without pages
            self._create(about or {})
            for trial in trials:
                self._add(trial)
        except FAULTS as error:
            raise self._storage_error(error) from error

    def write_history(self, history: History) -> None:
        """Bring the file up to date with the record; see ``write``."""
        self.write([self._trial(history, sample) for sample in history.configurations])

    def _trial(self, history: History, sample: int) -> FrozenTrial:
        return frozen_trial(self._space, history, history.configurations[sample], self._parameters)

    def observe(self, event: Event, history: History) -> None:
        """Add an event that is recorded and applied to ``history``.

        A file that is damaged, gone, or changed by somebody else is written again.

        Raises:
            StorageError: the disk refused it, or another process keeps it locked.
            FolderChanged: the path now leads to another folder than the one that was opened.
        """
        verify(self._path)
        try:
            self._observe(event, history)
        except FAULTS as error:
            if _locked(error):
                raise self._storage_error(error) from error
            with suppress(*FAULTS):
                self.close()
            self.write_history(history)

    def _observe(self, event: Event, history: History) -> None:
        if isinstance(event, Planned):
            self._add(self._trial(history, event.sample))
        elif isinstance(event, Epoch):
            number = self._running.get(history.attempts[event.trial].sample)
            value = mean(event.metrics.get(self._space.metric.name, []))
            if number is not None and value is not None and len(self._space.metrics) == 1:
                self._storage.set_trial_intermediate_value(number, event.epoch, value)
        elif isinstance(event, Batch):  # some that have ended go on, which no file of a study can say
            self.close()
            self.write_history(history)
        elif isinstance(event, END_EVENTS):
            ended = history.attempts[event.trial].sample
            for sample in [*self._running]:
                if ended in (sample, history.configurations[sample].duplicate_of):
                    trial = self._trial(history, sample)
                    if trial.state.is_finished():
                        self._update(trial)

    def _open(self) -> None:
        self._running.clear()
        self._storage = RDBStorage("sqlite://", engine_kwargs={"creator": self._connect})

    def _connect(self) -> sqlite3.Connection:
        # SQLAlchemy keeps a connection for each thread, and the thread that ends the session closes them all.
        connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
        # The file can be made again from the record, so a write need not wait for the disk.
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def _create(self, about: Mapping[str, Any]) -> None:
        self._open()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # metric names
            study = optuna.create_study(
                storage=self._storage, study_name=self._name, directions=directions(self._space)
            )
            study.set_metric_names([metric.name for metric in self._space.metrics])
        for key, value in about.items():
            study.set_user_attr(key, value)
        self._study_id = study._study_id

    def _continue(self, trials: Sequence[FrozenTrial]) -> bool:
        """Add ``trials`` to an existing file; False if it is not our study, or they do not continue it."""
        try:
            self._open()
            self._study_id = self._storage.get_study_id_from_name(self._name)
            existing = self._storage.get_all_trials(self._study_id)
            if (
                len(existing) <= len(trials)
                and all(map(_leads_to, existing, trials))
                and self._storage.get_study_directions(self._study_id) == directions(self._space)
            ):
                for old, new in zip(existing, trials, strict=False):
                    if not old.state.is_finished():
                        self._running[new.user_attrs[SAMPLE]] = old._trial_id
                        self._update(new)
                for new in trials[len(existing) :]:
                    self._add(new)
                return True
            self.close()
        except Exception as error:  # damaged, of another version of Optuna, or forged
            with suppress(Exception):
                self.close()
            if _locked(error):
                raise self._storage_error(error) from error
        return False

    def _add(self, trial: FrozenTrial) -> None:
        number = self._storage.create_new_trial(self._study_id, template_trial=trial)
        if not trial.state.is_finished():
            self._running[trial.user_attrs[SAMPLE]] = number

    def _update(self, trial: FrozenTrial) -> None:
        """Write what a running trial has reached, and how it ended if it has."""
        number = self._running[trial.user_attrs[SAMPLE]]
        written = self._storage.get_trial(number).intermediate_values
        for epoch, value in trial.intermediate_values.items():
            if written.get(epoch) != value:
                self._storage.set_trial_intermediate_value(number, epoch, value)
        if trial.state.is_finished():
            for key, attribute in trial.user_attrs.items():
                self._storage.set_trial_user_attr(number, key, attribute)
            self._storage.set_trial_state_values(number, trial.state, trial.values)
            del self._running[trial.user_attrs[SAMPLE]]

    def _storage_error(self, error: Exception) -> StorageError:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        return StorageError(
            f"{self._path}: the study cannot be written: {describe(cause)}. "
            "Nothing is lost: the next session writes it again from the record."
        )

    def close(self) -> None:
        """Close the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _leads_to(old: FrozenTrial, new: FrozenTrial) -> bool:
    """Whether a trial in the file may become ``new``, or is equal to it."""
    if (old.params, old.distributions) != (new.params, new.distributions):
        return False
    if old.state is TrialState.RUNNING:
        same = old.user_attrs.get(SAMPLE) == new.user_attrs[SAMPLE]
        return same and old.intermediate_values.items() <= new.intermediate_values.items()
    was, now = ((trial.state, trial.values, trial.intermediate_values) for trial in (old, new))
    return was == now and new.user_attrs.items() <= old.user_attrs.items()


def _locked(error: Exception) -> bool:
    """Whether another process keeps the file locked; then the file must not be replaced."""
    causes = [getattr(each, "orig", each) for each in (error, error.__cause__)]
    return any(getattr(each, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY for each in causes)
