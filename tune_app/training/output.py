"""What a trial prints, in its log: standard output and error of this process while it trains.

That includes what libraries in C and child processes print. A log is limited in size, and cannot fail a
trial.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from tune_app.errors import FolderChanged
from tune_app.sweep.opened_folder import remove, verify
from tune_app.training.streams import LossyWriter, is_descriptor, open_descriptors, text_stream

#: Bytes of a log; of one that grows beyond that the first quarter and the last half are kept.
LARGEST = 256 << 10

_active = threading.Lock()
#: Standard output as it was before a trial got its own; empty while no trial trains.
_original: list[TextIO | None] = []


def terminal() -> TextIO | None:
    """Standard output as a person sees it, also while a trial prints to its log; None if it is closed."""
    return _original[-1] if _original else sys.stdout


class Output:
    """What a trial prints, in a file: at ``path``, or in a temporary one whose text ``take`` returns."""

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._temporary = path, path is None

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Send what is printed to the file; where it cannot be written, leave the output as it is."""
        if not _active.acquire(blocking=False):  # another trial in another thread: both share one output
            yield
            return
        try:
            with ExitStack() as back:
                with suppress(OSError, FolderChanged):  # the latter is raised by the sweep's next write
                    self._redirect(back)
                yield
        finally:
            _active.release()

    def _redirect(self, back: ExitStack) -> None:
        """Send it to the file; ``back``, when it is closed, sends it where it went before."""
        if self._path is None:
            descriptor, name = tempfile.mkstemp(prefix="tune-app-", suffix=".out")
            os.close(descriptor)
            self._path = Path(name)
        verify(self._path)
        self._path.parent.mkdir(exist_ok=True)  # in a run that is still there
        _flush()
        open_descriptors()
        seen = _user_stream() if is_descriptor(sys.stdout, 1) else sys.stdout
        with self._path.open("ab") as log:
            back.callback(_limit_size_if_there, self._path)
            for number in (1, 2):
                back.callback(_put_back, os.dup(number), number)
                os.dup2(log.fileno(), number)
        _original.append(seen)
        back.callback(_original.clear)
        if _stream(1).closed or _stream(2).closed:  # by a task before
            _stream.cache_clear()
        back.enter_context(redirect_stdout(_stream(1)))
        back.enter_context(redirect_stderr(_stream(2)))
        hook = sys.breakpointhook

        def give_terminal(*given: Any, **named: Any) -> Any:
            """``breakpoint()``: a debugger needs the terminal for the rest of the epoch."""
            back.close()
            return hook(*given, **named)

        back.callback(setattr, sys, "breakpointhook", hook)
        sys.breakpointhook = give_terminal
        back.callback(setattr, _Log, "path", None)
        _Log.path = self._path
        back.callback(_flush)

    def take(self) -> str:
        """What was printed since the last call, where there is no file for it."""
        with suppress(OSError, FolderChanged):
            if self._path and self._temporary:
                limit_size(self._path)
                text = self._path.read_text(encoding="utf-8", errors="backslashreplace")
                remove(self._path)
                return text
        return ""

    def remove(self) -> None:
        """Remove the file if it is temporary or empty."""
        with suppress(OSError, FolderChanged):
            if self._path and (self._temporary or not self._path.stat().st_size):
                remove(self._path)


def _put_back(saved: int, number: int) -> None:
    os.dup2(saved, number)
    os.close(saved)


class _Log(LossyWriter):
    """Limits the size of the log while it is written."""

    path: Path | None = None
    _written = 0

    def write(self, data: Any) -> int:
        super().write(data)
        _Log._written += len(data)
        if _Log._written > LARGEST and self.path:
            _Log._written = 0
            _limit_size_if_there(self.path)
        return len(data)


@cache
def _stream(number: int) -> TextIO:
    """A stream that stays usable after its trial: a library may keep it."""
    return text_stream(_Log(number), "utf-8", "backslashreplace")


@cache
def _user_stream() -> TextIO:
    """Standard output by a descriptor that no trial is given."""
    return text_stream(LossyWriter(os.dup(1)), sys.stdout.encoding, "replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)  # what C has printed and not yet written


def _limit_size_if_there(path: Path) -> None:
    with suppress(OSError, FolderChanged):
        limit_size(path)


def limit_size(path: Path) -> None:
    """Keep the first quarter and the last half of a log that is too large. Raises OSError, FolderChanged."""
    size = path.stat().st_size
    if size <= LARGEST:
        return
    verify(path)
    with path.open("r+b") as file:
        first = file.read(LARGEST // 4)
        file.seek(size - LARGEST // 2)
        last = file.read(LARGEST // 2)
        left_out = size - len(first) - len(last)
        file.seek(0)
        file.write(first + f"\n[{left_out:,} bytes left out]\n".encode() + last)
        file.truncate()
