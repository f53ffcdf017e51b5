"""The checkpoints and weights of a run that are still of use, and the end of those that are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tune_app.errors import FolderChanged
from tune_app.status import Status
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.evaluation import rank
from tune_app.sweep.events import Saved
from tune_app.sweep.record import remove, write_atomically
from tune_app.training.protocol import SAVE_NOW


class Keeper:
    """Keeps, in the folder of a run's checkpoints, what a trial may go on from and the best weights."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._best = self._best_finished()

    def remove(self, file: str) -> None:
        """Remove a file of the folder, if it is there."""
        remove(self._sweep.paths.checkpoints / file)

    def tidy(self) -> None:
        """Remove from the checkpoints' folder what is of no use any more, such as what a crash left there."""
        used = {kept.file for c in self._sweep.history.configurations.values() for kept in self._used(c)}
        for path in self._sweep.paths.checkpoints.glob("*"):
            if path.name not in used and path.is_file():
                remove(path)

    def _used(self, configuration: Configuration) -> Iterator[Saved]:
        """The checkpoints of a configuration that a trial may go on from, or that are to be kept."""
        beaten = (
            self._rank(configuration) is not None and self._best and self._best[1] != configuration.sample
        )
        for attempt in self._newest(configuration):
            if attempt.saved and (self._sweep.space.keep == "last" or not attempt.ended):
                yield attempt.saved
            if attempt.weights and not beaten:
                yield attempt.weights

    def _newest(self, configuration: Configuration) -> list[Attempt]:
        """The attempts by which the replicates of a configuration stand."""
        newest = [configuration.last(replicate) for replicate in self._sweep.space.replicate_numbers]
        return [attempt for attempt in configuration.attempts if any(attempt is each for each in newest)]

    def _rank(self, configuration: Configuration) -> tuple[float, int] | None:
        """The place of a finished configuration in the ranking, the least being best; None for others."""
        space = self._sweep.space
        if self._sweep.history.status(configuration, space.replicate_numbers, live=True) != Status.FINISHED:
            return None
        value = configuration.value(space.metric, space.evaluate, space.replicate_numbers)
        return None if value is None else rank(space.metric, value, configuration.sample)

    def _best_finished(self) -> tuple[float, int] | None:
        ranks = [self._rank(c) for c in self._sweep.history.configurations.values() if c.duplicate_of is None]
        return min((each for each in ranks if each is not None), default=None)

    def compare(self, configuration: Configuration) -> None:
        """A configuration has finished: keep the weights of the best alone, and of that one the newest."""
        now = self._rank(configuration)
        if now is None:
            return
        if self._best is None or self._best[1] == configuration.sample:
            self._best = now
        else:
            self._best, beaten = min(self._best, now), max(self._best, now)
            self._drop_weights(self._sweep.history.configurations[beaten[1]].attempts)
        newest = self._newest(configuration)
        self._drop_weights(attempt for attempt in configuration.attempts if attempt not in newest)

    def _drop_weights(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            if attempt.weights:
                self.remove(attempt.weights.file)


class SaveNow:
    """Asks the trials that run, by a file among the checkpoints, to be saved after their epoch."""

    def __init__(self, checkpoints: Path) -> None:
        self._path = checkpoints / SAVE_NOW
        self._waited_for: set[str] = set()

    def ask(self, trials: Iterable[str]) -> None:
        """Ask these trials. Raises OSError and FolderChanged."""
        self._waited_for |= set(trials)
        write_atomically(self._path, b"")

    @property
    def asked(self) -> bool:
        """Whether a trial that was asked is not saved yet."""
        return bool(self._waited_for)

    def saved(self, trial: str) -> None:
        """A trial was saved, or cannot be."""
        self._wait_for(self._waited_for - {trial})

    def tidy(self, running: Collection[str]) -> None:
        """A trial that has ended is not waited for."""
        self._wait_for(self._waited_for & set(running))

    def _wait_for(self, trials: set[str]) -> None:
        if self._waited_for and not trials:
            with suppress(OSError, FolderChanged):  # the latter ends the sweep, once it is to write
                remove(self._path)
        self._waited_for = trials
