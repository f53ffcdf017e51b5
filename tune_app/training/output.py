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
from contextlib import contextmanager, suppress
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
        self._path = path

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Send what is printed to the file; where it cannot be written, leave the output as it is."""
        if not _active.acquire(blocking=False):  # another trial in another thread: both share one output
            yield
            return
        try:
            redirection = self._redirect()
            try:
                yield
            finally:
                if redirection:
                    redirection.end()
        finally:
            _active.release()

    def _redirect(self) -> _Redirection | None:
        try:
            if self._path is None:
                descriptor, name = tempfile.mkstemp(prefix="tune-app-", suffix=".out")
                os.close(descriptor)
                self._path = Path(name)
            verify(self._path)
            self._path.parent.mkdir(exist_ok=True)  # in a run that is still there
            return _Redirection(self._path)
        except (OSError, FolderChanged):  # the latter is raised by the next write of the sweep
            return None

    def take(self) -> str:
        """What was printed since the last call; for a temporary file, which is removed."""
        if self._path is None:
            return ""
        with suppress(OSError, FolderChanged):
            limit_size(self._path)
            text = self._path.read_text(encoding="utf-8", errors="backslashreplace")
            remove(self._path)
            return text
        return ""

    def remove(self, empty_only: bool) -> None:
        """Remove the file."""
        with suppress(OSError, FolderChanged):
            if self._path and not (empty_only and self._path.stat().st_size):
                remove(self._path)


class _Redirection:
    """Standard output and error, sent to a file until ``end``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams, self._hook = (sys.stdout, sys.stderr), sys.breakpointhook
        _flush()
        open_descriptors()
        seen = _user_stream() if is_descriptor(sys.stdout, 1) else sys.stdout
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            self._saved = [os.dup(number) for number in (1, 2)]
            for number in (1, 2):
                os.dup2(log, number)
        finally:
            os.close(log)
        _original.append(seen)
        if _stream(1).closed or _stream(2).closed:  # by a task before
            _stream.cache_clear()
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        _Log.path = path
        sys.breakpointhook = self._break

    def end(self) -> None:
        """Send them where they went before."""
        if not self._saved:
            return
        _flush()
        _Log.path = None
        sys.breakpointhook = self._hook
        sys.stdout, sys.stderr = self._streams
        _original.clear()
        for number, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        self._saved = []
        with suppress(OSError, FolderChanged):
            limit_size(self._path)

    def _break(self, *given: Any, **named: Any) -> Any:
        """``breakpoint()``: a debugger needs the terminal for the rest of the epoch."""
        self.end()
        return self._hook(*given, **named)


class _Log(LossyWriter):
    """Limits the size of the log while it is written."""

    path: Path | None = None
    _written = 0

    def write(self, data: Any) -> int:
        super().write(data)
        _Log._written += len(data)
        if _Log._written > LARGEST and self.path:
            _Log._written = 0
            with suppress(OSError, FolderChanged):
                limit_size(self.path)
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
