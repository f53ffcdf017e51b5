"""The status of a configuration and of a replicate, and the groups of statuses that code asks about."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """How a configuration or one of its replicates stands. CSV files and ``--json`` have the texts.

    Where the replicates of a configuration differ, it has the first of these that occurs.
    """

    RUNNING = "running"
    #: The task raised an error, also when it was tried again.
    FAILED = "failed"
    #: Its session ended before it did. The next session continues it.
    INTERRUPTED = "interrupted"
    #: A loss or a parameter became non-finite.
    DIVERGED = "diverged"
    #: Not trained yet.
    PLANNED = "planned"
    #: It waits at a rung of early stopping, to train on or to be stopped.
    PAUSED = "paused"
    #: Early stopping or a person stopped it.
    STOPPED = "stopped"
    #: It reached its last epoch, or ended early by itself: patience, or the task returned.
    FINISHED = "finished"


#: The statuses in which something went wrong: `tune_app.sweep.configurations.Attempt.fault` says what.
FAULTY = frozenset({Status.DIVERGED, Status.FAILED})

#: The statuses in which nothing is trained further unless somebody asks for more.
ENDED = FAULTY | {Status.FINISHED, Status.STOPPED}

#: What live views call a configuration that is planned, or interrupted while a session runs.
WAITING: Final = "waiting"

#: What live views count, in the order in which they list it.
LIVE: tuple[str, ...] = (
    *(Status.FAILED, Status.DIVERGED, Status.FINISHED, Status.STOPPED, Status.PAUSED),
    *(Status.INTERRUPTED, Status.RUNNING),
    WAITING,
)
