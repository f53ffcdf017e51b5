"""A trial as an engine runs it: what the task raises becomes a failure, and what it prints goes to a log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import TaskExited
from tune_app.training.output import Output
from tune_app.training.protocol import EpochReport, Failure
from tune_app.training.trial import Trial, Worker


class GuardedTrial:
    """A trial whose steps return a report or a failure; nothing is raised.

    Args:
        spec: what to train.
        worker: gives the process's worker. If making it raises, the trial has failed.
    """

    def __init__(self, spec: TrialSpec, worker: Callable[[], Worker]) -> None:
        self._spec, self._worker = spec, worker
        self._trial: Trial | None = None
        self._output = Output(Path(spec.files.output) if spec.files.output else None)

    def step(self, save_now: bool = False) -> EpochReport | Failure:
        """Train one epoch; see ``Trial.step``. After a failure there is nothing more to train."""
        with self._watched(), self._output.redirected():
            result = self._step(save_now)
        return result if self._spec.files.output else replace(result, output=self._output.take())

    def _step(self, save_now: bool) -> EpochReport | Failure:
        try:
            if self._trial is None:
                self._trial = Trial(self._spec, self._worker())
            return self._trial.step(save_now)
        except Exception as error:  # noqa: BLE001 - whatever the user's task raises
            return Failure.of(error)
        except KeyboardInterrupt as error:  # the task's own: signals are handled without one
            return Failure.of(TaskExited(error).with_traceback(error.__traceback__))

    def close(self) -> None:
        """Close what the task holds open, whatever ended the trial."""
        if self._trial is None:
            return
        with self._watched():
            with self._output.redirected():  # the driver has closed the log by now; readers add this to it
                self._trial.close()
            self._trial = None
            self._output.remove(empty_only=bool(self._spec.files.output))

    def _watched(self) -> AbstractContextManager[None]:
        opened = self._spec.files.opened
        return opened.watched() if opened else nullcontext()
