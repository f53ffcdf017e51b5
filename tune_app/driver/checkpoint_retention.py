"""Which checkpoints and weights of a run are kept; removes the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tune_app.status import Status
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.evaluation import rank_key
from tune_app.sweep.events import Saved
from tune_app.sweep.opened_folder import remove


class CheckpointRetention:
    """Keeps, in the checkpoints folder of a run, what a trial may resume from and the best weights."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._best = self._best_finished()

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
        beaten = (
            self._rank(configuration) is not None and self._best and self._best[1] != configuration.sample
        )
        for attempt in self._newest(configuration):
            if attempt.saved and (self._sweep.space.keep == "last" or not attempt.ended):
                yield attempt.saved
            if attempt.weights and not beaten:
                yield attempt.weights

    def _newest(self, configuration: Configuration) -> list[Attempt]:
        """The last attempt of each replicate of a configuration."""
        newest = [configuration.last(replicate) for replicate in self._sweep.space.replicate_numbers]
        return [attempt for attempt in configuration.attempts if any(attempt is each for each in newest)]

    def _rank(self, configuration: Configuration) -> tuple[float, int] | None:
        """The place of a finished configuration in the ranking, the least being best; None for others."""
        space = self._sweep.space
        if self._sweep.history.status(configuration, space.replicate_numbers, live=True) != Status.FINISHED:
            return None
        value = configuration.value(space.metric, space.evaluate, space.replicate_numbers)
        return None if value is None else rank_key(space.metric, value, configuration.sample)

    def _best_finished(self) -> tuple[float, int] | None:
        ranks = [self._rank(c) for c in self._sweep.history.configurations.values() if c.duplicate_of is None]
        return min((each for each in ranks if each is not None), default=None)

    def keep_best(self, configuration: Configuration) -> None:
        """A configuration has finished: keep the weights of the best one only, and of those the newest."""
        now = self._rank(configuration)
        if now is None:
            return
        if self._best is None or self._best[1] == configuration.sample:
            self._best = now
        else:
            self._best, beaten = min(self._best, now), max(self._best, now)
            self._remove_weights(self._sweep.history.configurations[beaten[1]].attempts)
        newest = self._newest(configuration)
        self._remove_weights(attempt for attempt in configuration.attempts if attempt not in newest)

    def _remove_weights(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            if attempt.weights:
                self.remove(attempt.weights.file)
