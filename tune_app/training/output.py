"""What a trial prints, to its log: standard output and error of this process while it trains.

So also what libraries in C and its other processes print. A log is bounded, and cannot fail a trial.
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
from tune_app.sweep.opened_folder import verify
from tune_app.sweep.record import remove
from tune_app.training.streams import Dropping, is_descriptor, open_descriptors, text

#: Bytes of a log; of one that grows beyond that the first quarter and the last half are kept.
LARGEST = 256 << 10

_active = threading.Lock()
#: Standard output as it was before a trial got its own; empty while no trial trains.
_before: list[TextIO | None] = []


def terminal() -> TextIO | None:
    """Standard output as a person sees it, also while a trial prints to its log; None if it is closed."""
    return _before[-1] if _before else sys.stdout


class Output:
    """What a trial prints, in a file: at ``path``, or in a temporary one whose text ``take`` returns."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let what is printed go to the file. Where that cannot be written it goes where it went before."""
        if not _active.acquire(blocking=False):  # another trial in another thread: the two share one output
            yield
            return
        try:
            redirection = self._redirected()
            try:
                yield
            finally:
                if redirection:
                    redirection.end()
        finally:
            _active.release()

    def _redirected(self) -> _Redirection | None:
        try:
            if self._path is None:
                descriptor, name = tempfile.mkstemp(prefix="tune-app-", suffix=".out")
                os.close(descriptor)
                self._path = Path(name)
            verify(self._path)
            self._path.parent.mkdir(exist_ok=True)  # in a run that is still there
            return _Redirection(self._path)
        except (OSError, FolderChanged):  # the latter ends the sweep, once it is to write
            return None

    def take(self) -> str:
        """What was printed since the last call; for a temporary file, which is removed."""
        if self._path is None:
            return ""
        with suppress(OSError, FolderChanged):
            bound(self._path)
            text = self._path.read_text(encoding="utf-8", errors="backslashreplace")
            remove(self._path)
            return text
        return ""

    def drop(self, empty_only: bool) -> None:
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
        seen = _persons() if is_descriptor(sys.stdout, 1) else sys.stdout
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            self._saved = [os.dup(number) for number in (1, 2)]
            for number in (1, 2):
                os.dup2(log, number)
        finally:
            os.close(log)
        _before.append(seen)
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
        _before.clear()
        for number, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        self._saved = []
        with suppress(OSError, FolderChanged):
            bound(self._path)

    def _break(self, *given: Any, **named: Any) -> Any:
        """``breakpoint()``: a debugger needs the terminal for the rest of the epoch."""
        self.end()
        return self._hook(*given, **named)


class _Log(Dropping):
    """Bounds the log that is written to."""

    path: Path | None = None
    _written = 0

    def write(self, data: Any) -> int:
        super().write(data)
        _Log._written += len(data)
        if _Log._written > LARGEST and self.path:
            _Log._written = 0
            with suppress(OSError, FolderChanged):
                bound(self.path)
        return len(data)


@cache
def _stream(number: int) -> TextIO:
    """A stream that stays usable after its trial: a library may keep it."""
    return text(_Log(number), "utf-8", "backslashreplace")


@cache
def _persons() -> TextIO:
    """Standard output by a descriptor that no trial is given."""
    return text(Dropping(os.dup(1)), sys.stdout.encoding, "replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)  # what C has printed and not yet written


def bound(path: Path) -> None:
    """Keep the first quarter and the last half of a log that has become too large; raises as ``place``."""
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
