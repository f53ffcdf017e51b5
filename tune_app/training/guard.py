"""A trial as an engine runs it: what the user's task raises or prints goes into reports and its log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from tune_app.tasks.isolation import TaskExited
from tune_app.training.output import Output
from tune_app.training.protocol import Failure, Order, Report
from tune_app.training.trial import Trial, Worker


class GuardedTrial:
    """A trial whose steps come to a report or to a failure; nothing is raised.

    Args:
        order: what to train.
        worker: gives the process's worker; what making it raises is a failure of the trial too.
    """

    def __init__(self, order: Order, worker: Callable[[], Worker]) -> None:
        self._order, self._worker = order, worker
        self._trial: Trial | None = None
        self._output = Output(Path(order.output) if order.output else None)

    def step(self, save_now: bool = False) -> Report | Failure:
        """Train one epoch; see ``Trial.step``. After a failure there is nothing more to train."""
        with self._watched(), self._output.kept():
            came = self._step(save_now)
        return came if self._order.output else replace(came, output=self._output.take())

    def _step(self, save_now: bool) -> Report | Failure:
        try:
            if self._trial is None:
                self._trial = Trial(self._order, self._worker())
            return self._trial.step(save_now)
        except Exception as error:  # noqa: BLE001 - whatever the user's task raises
            return Failure.of(error)
        except KeyboardInterrupt as error:  # the task's own: signals are handled without one
            return Failure.of(TaskExited(error).with_traceback(error.__traceback__))

    def close(self) -> None:
        """Let go of what the task holds open, whatever ended the trial."""
        if self._trial is None:
            return
        with self._watched():
            with self._output.kept():  # the driver has closed the log by now; readers add this to it
                self._trial.close()
            self._trial = None
            self._output.drop(empty_only=bool(self._order.output))

    def _watched(self) -> AbstractContextManager[None]:
        return self._order.opened.watched() if self._order.opened else nullcontext()
