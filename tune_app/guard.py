"""A trial as an engine runs it: nothing that the user's task raises leaves it as an exception."""

from __future__ import annotations

from collections.abc import Callable

from tune_app.isolation import TaskExited
from tune_app.messages import Failure, Order, Report
from tune_app.trial import Trial, Worker


class GuardedTrial:
    """A trial whose steps come to a report or to a failure; nothing is raised.

    Args:
        order: what to train.
        worker: gives the process's worker; what making it raises is a failure of the trial too.
    """

    def __init__(self, order: Order, worker: Callable[[], Worker]) -> None:
        self._order, self._worker = order, worker
        self._trial: Trial | None = None

    def step(self, save_now: bool = False) -> Report | Failure:
        """Train one epoch; see ``Trial.step``. After a failure there is nothing more to train."""
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
        if self._trial is not None:
            self._trial.close()
            self._trial = None
