"""The logs of a run's trials: what each has printed, then the traceback if it failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt
from tune_app.sweep.opened_folder import remove, verify, write_atomically
from tune_app.sweep.paths import RunPaths
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.training.output import limit_size

#: The record may come from a stranger: a trial's name must not be used as a path unchecked.
_TRIAL = re.compile(r"\d+\.\d+")


def expected(sweep: Sweep, spec: TrialSpec) -> Path:
    """The file that a trial which is about to start prints to."""
    first, attempts = spec.replicates[0], sweep.history.configurations[spec.sample].attempts
    before = sum(first in each.replicates for each in attempts)
    return sweep.paths.output(spec.sample, first, before)


def find(sweep: Sweep, attempt: Attempt) -> list[Path]:
    """The files with what a trial printed: its log once it has ended, and output that is not in the log."""
    first, attempts = attempt.replicates[0], sweep.history.configurations[attempt.sample].attempts
    before = sum(first in each.replicates for each in attempts[: attempts.index(attempt)])
    paths = [sweep.paths.log(attempt.trial)] if _TRIAL.fullmatch(attempt.trial) else []
    paths.append(sweep.paths.output(attempt.sample, first, before))
    return [path for path in paths if path.is_file() and path.stat().st_size]


class Logs:
    """The logs of the trials that a driver runs. If the disk refuses them, one note says so."""

    def __init__(self, paths: RunPaths, notify: Callable[[str], None]) -> None:
        self._paths, self._notify = paths, notify
        self._notified = False
        self._open: dict[str, Path] = {}

    def open(self, trial: str, output: Path) -> None:
        """A trial has started, and prints to ``output``."""
        self._open[trial] = output

    def add(self, trial: str, text: str) -> None:
        """Write down what a trial on another machine has printed."""
        path = self._open[trial]
        if text:
            verify(path)
            with self._noting(path):
                path.parent.mkdir(exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(text)
                limit_size(path)

    def close(self, trial: str, traceback: str = "") -> str:
        """A trial has ended; returns the place of its log in the run's folder, empty where there is none."""
        path, log = self._open.pop(trial), self._paths.log(trial)
        with self._noting(log):
            printed = path.read_bytes() if path.is_file() else b""
            if traceback and printed:
                printed = printed.rstrip(b"\n") + b"\n\n"
            if traceback or printed:
                write_atomically(log, printed + traceback.encode("utf-8", "backslashreplace"))
            remove(path)
        return f"{log.parent.name}/{log.name}" if log.is_file() else ""

    @contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._notified:
                self._notified = True
                self._notify(
                    f"note: {path}: cannot be written: {error.strerror}. The sweep continues. The record "
                    "says in one line why a trial failed; its traceback and what it printed are lost."
                )
