"""The command line as a process, with all that it starts: found by a mark in their environment.

A process hands its environment down, so the mark is on all that a session has started and on nothing else,
whoever else runs Ray on this machine. Needs ``/proc``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_MARK = "CHAOS_MARK"
PROC = Path("/proc")


#: The signals that a shell, `nohup` or a batch system may ignore for a process that it starts.
_OFTEN_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


@contextmanager
def inherited(ignored: Sequence[signal.Signals] = ()) -> Iterator[None]:
    """Processes that are started meanwhile inherit these signals as ignored and the others at their default.

    Whatever this process ignores itself: an ignored signal stays ignored in a child, a handled one does not.
    """
    before = {}
    for number in _OFTEN_IGNORED:
        handler = signal.getsignal(number)
        if number in ignored:
            before[number] = signal.signal(number, signal.SIG_IGN)
        elif handler is signal.SIG_IGN:
            before[number] = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Session:
    """One call of ``tune-app`` in a process of its own, and what came of it.

    Args:
        folder: the working directory, where the task and the space lie.
        environment: what is added to this process's own.
        command: what is called instead of ``python -m tune_app``.
        ignored: the signals that it inherits as ignored, as `nohup` and a shell's `&` start a process.
        streams: arguments of ``Popen`` on its input and output, which is kept in a file unless given.
    """

    def __init__(
        self,
        folder: Path,
        args: Sequence[str],
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = ("-m", "tune_app"),
        ignored: Sequence[signal.Signals] = (),
        streams: Mapping[str, Any] | None = None,
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._output = folder / f"output-{self._mark[:8]}.txt"
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        root = Path(__file__).parents[2]
        known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        with self._output.open("wb") as output, inherited(ignored):
            self._process = subprocess.Popen(
                [sys.executable, *command, *args],
                **{
                    "stdin": subprocess.DEVNULL,
                    "stdout": output,
                    "stderr": subprocess.STDOUT,
                    **(streams or {}),
                },
                cwd=folder,
                env={
                    **known,
                    "PYTHONPATH": str(root),
                    "TMPDIR": str(temporary),
                    "RAY_TMPDIR": str(temporary),
                    **(environment or {}),
                    _MARK: self._mark,
                },
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.started = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self, limit_s: float) -> int | None:
        """Its exit code, negative for a signal; None when it does not end in time, and is killed."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def family(self) -> dict[int, list[str]]:
        """The pids of all living processes that it has started, itself included, with their command lines."""
        found = {}
        for folder in PROC.iterdir():
            if folder.name.isdigit():
                with suppress(OSError):  # it has ended, or is not ours to look at
                    if f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                        found[int(folder.name)] = (folder / "cmdline").read_text().rstrip("\0 ").split("\0")
        return found

    def find(self, victim: str) -> int | None:
        """The pid of its driver, raylet, gcs_server, or of a worker that trains; None where there is none."""
        if victim == "driver":
            return None if self.over else self.pid
        for pid, (program, *_) in self.family().items():
            trains = program.startswith("ray::") and "Trainable" in program
            if (victim == "worker" and trains) or Path(program).name == victim:
                return pid
        return None

    def send(self, number: int, group: bool = False) -> None:
        """Send it a signal, or its whole group, as a terminal does at Ctrl-C."""
        (os.killpg if group else os.kill)(self.pid, number)

    def clean_up(self) -> int:
        """Kill whatever of it is left; returns how many that were."""
        left = self.family()
        for pid in left:
            kill(pid)
        self._process.wait()
        return len(left)


def kill(pid: int) -> None:
    """Kill -9, and be content if it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
