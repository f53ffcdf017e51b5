"""Each change that a sweep makes on the disk is a step; a process can be made to die at any one of them.

Between two steps nothing on the disk changes, so that dying at every step is dying at every moment. An fsync
is no step: to a process that is killed it changes nothing, and how many there are depends on the time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tune_app.sweep import record

HALF_A_LINE = "half of append"


class Steps:
    """Counts the steps of this process within ``folder``, writes them into ``log``, and dies at one of them.

    A write is three steps: before it, with half of it done, and (the step that follows) after it.

    Args:
        die_at: at the so manieth step; never where it is None.
        only: count none but steps of this kind.
    """

    def __init__(self, folder: Path, log: Path, die_at: int | None, only: str | None = None) -> None:
        self._folder, self._die_at, self._only = folder.resolve(), die_at, only
        self._log = log.open("w", encoding="utf-8", buffering=1)
        self._count = 0

    def step(self, what: str, path: Path | str) -> None:
        """Count a step; at the one that is asked for, die."""
        if self._only not in (None, what):
            return
        self._count += 1
        self._log.write(f"{what} {Path(path).resolve().relative_to(self._folder)}\n")
        if self._count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def within(self, path: Path | str) -> bool:
        """Whether a path is among those that are watched."""
        return Path(path).resolve().is_relative_to(self._folder)

    def install(self) -> None:
        """Put the steps before and into everything that changes a file of a run."""
        for name in ("replace", "unlink", "mkdir", "touch"):
            setattr(Path, name, self._before(name, getattr(Path, name)))
        for name in ("write_bytes", "write_text"):
            setattr(Path, name, self._halved(name, getattr(Path, name)))
        vars(record)["_write_whole"] = self._half_line(record._write_whole)

    def _before(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(path: Path, *args: Any, **kwargs: Any) -> Any:
            if self.within(path):
                self.step(name, path)
            return change(path, *args, **kwargs)

        return stepping

    def _halved(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(path: Path, content: Any, *args: Any, **kwargs: Any) -> Any:
            if self.within(path):
                self.step(name, path)
                write(path, content[: len(content) // 2], *args, **kwargs)
                self.step(f"half of {name}", path)
            return write(path, content, *args, **kwargs)

        return stepping

    def _half_line(self, write: Callable[[IO[bytes], bytes], None]) -> Callable[[IO[bytes], bytes], None]:
        def stepping(file: IO[bytes], data: bytes) -> None:
            self.step("append", file.name)
            half = len(data) // 2
            write(file, data[:half])
            self.step(HALF_A_LINE, file.name)
            write(file, data[half:])

        return stepping


def _main(nth: str, *args: str) -> None:
    """Call the command line, to die with half of the ``nth`` line written."""
    from tune_app.cli import main

    Path("runs").mkdir(exist_ok=True)
    Steps(Path("runs"), Path("steps.txt"), int(nth), HALF_A_LINE).install()
    main(args)


if __name__ == "__main__":
    _main(*sys.argv[1:])
