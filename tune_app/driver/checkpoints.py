"""Which checkpoints and weights of a run are kept, and requests to running trials for a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tune_app.errors import FolderChanged
from tune_app.status import Status
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.events import Saved
from tune_app.sweep.opened_folder import remove, write_atomically
from tune_app.training.protocol import SAVE_NOW


class CheckpointRetention:
    """Keeps, in the checkpoints folder of a run, what a trial may resume from and the best weights."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        configurations = sweep.history.configurations.values()
        ranks = (self._rank(each) for each in configurations if each.duplicate_of is None)
        self._best = min((rank for rank in ranks if rank is not None), default=None)

    def remove(self, file: str) -> None:
        """Remove a file of the folder, if it is there."""
        remove(self._sweep.paths.checkpoints / file)

    def remove_unneeded(self) -> None:
        """Remove all files of the folder that are not kept, such as those that a crash left there."""
        kept = {each.file for c in self._sweep.history.configurations.values() for each in self._kept(c)}
        for path in self._sweep.paths.checkpoints.glob("*"):
            if path.name not in kept and path.is_file():
                remove(path)

    def _kept(self, configuration: Configuration) -> Iterator[Saved]:
        """The files of a configuration that a trial may resume from, or that the space keeps."""
        rank, best = self._rank(configuration), self._best
        beaten = rank and best and rank[-1] != best[-1]
        for attempt in self._newest(configuration):
            if attempt.saved and (self._sweep.space.keep == "last" or not attempt.ended):
                yield attempt.saved
            if attempt.weights and not beaten:
                yield attempt.weights

    def _newest(self, configuration: Configuration) -> list[Attempt]:
        """The last attempt of each replicate of a configuration."""
        newest = [configuration.last(replicate) for replicate in configuration.replicates(self._sweep.space)]
        return [attempt for attempt in configuration.attempts if any(attempt is each for each in newest)]

    def _rank(self, configuration: Configuration) -> tuple[bool, float, int] | None:
        """The place of a finished configuration in the ranking, the least being best; None for others."""
        space = self._sweep.space
        replicates = configuration.replicates(space)
        if self._sweep.history.status(configuration, replicates, live=True) != Status.FINISHED:
            return None
        value = configuration.choice(space)
        return None if value is None else self._sweep.history.place(space.metric, value, configuration)

    def keep_best(self, configuration: Configuration) -> None:
        """A configuration has finished: keep the weights of the best one only, and of those the newest."""
        now = self._rank(configuration)
        if now is None:
            return
        if self._best is None or self._best[-1] == configuration.sample:
            self._best = now
        else:
            self._best, beaten = sorted((self._best, now))
            self._remove_weights(self._sweep.history.configurations[beaten[-1]].attempts)
        newest = self._newest(configuration)
        self._remove_weights(attempt for attempt in configuration.attempts if attempt not in newest)

    def _remove_weights(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            if attempt.weights:
                self.remove(attempt.weights.file)


class CheckpointRequest:
    """A file in the checkpoints folder that asks running trials for a checkpoint after their current epoch.

    It stands until each trial that was asked has answered.
    """

    def __init__(self, checkpoints: Path) -> None:
        self._path = checkpoints / SAVE_NOW
        #: The trials that were asked and have not answered yet.
        self.pending: set[str] = set()

    def ask(self, trials: Iterable[str]) -> None:
        """Ask these trials. Raises OSError and FolderChanged."""
        self.pending |= set(trials)
        write_atomically(self._path, b"")

    def wait_for(self, trials: set[str]) -> None:
        """Wait for none but these trials: others have written a checkpoint, cannot write one, or ended."""
        left = self.pending & trials
        if self.pending and not left:
            with suppress(OSError, FolderChanged):  # the next write of the sweep raises the latter
                remove(self._path)
        self.pending = left
