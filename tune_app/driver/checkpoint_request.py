"""Asks running trials for a checkpoint after their current epoch, by a file in the checkpoints folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from tune_app.errors import FolderChanged
from tune_app.sweep.opened_folder import remove, write_atomically
from tune_app.training.protocol import SAVE_NOW


class CheckpointRequest:
    """The request for a checkpoint, which stands until each trial that was asked has answered."""

    def __init__(self, checkpoints: Path) -> None:
        self._path = checkpoints / SAVE_NOW
        self._waiting_for: set[str] = set()

    def ask(self, trials: Iterable[str]) -> None:
        """Ask these trials. Raises OSError and FolderChanged."""
        self._waiting_for |= set(trials)
        write_atomically(self._path, b"")

    @property
    def pending(self) -> bool:
        """Whether a trial that was asked has not answered yet."""
        return bool(self._waiting_for)

    def answered(self, trial: str) -> None:
        """A trial has written a checkpoint, or cannot write one."""
        self._wait_for(self._waiting_for - {trial})

    def only_for(self, running: Collection[str]) -> None:
        """Wait for no trial that has ended."""
        self._wait_for(self._waiting_for & set(running))

    def _wait_for(self, trials: set[str]) -> None:
        if self._waiting_for and not trials:
            with suppress(OSError, FolderChanged):  # the next write of the sweep raises the latter
                remove(self._path)
        self._waiting_for = trials
