"""Closing the terminal does not end a sweep.

A terminal that is closed, or whose connection breaks, sends SIGHUP to the processes that it started, and what
they print afterwards fails. A SIGHUP that is sent by ``kill`` ends a sweep, as SIGTERM does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from tune_app.errors import Terminated
from tune_app.training import streams

#: Windows has neither.
SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_TERMINAL = "/dev/tty"


def lost() -> bool:
    """Whether this process has lost its terminal since the first call of this function."""
    return _had_terminal() and not _has_terminal()


@cache
def _had_terminal() -> bool:
    return _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True


@contextmanager
def survived() -> Iterator[None]:
    """Within the context the loss of the terminal does not end this process; later output is dropped."""
    streams.make_output_lossy()
    lost()
    if SIGHUP is None or ignored() or threading.current_thread() is not threading.main_thread():
        yield
        return

    def hang_up(number: int, _: object) -> None:
        if not lost():
            raise Terminated(128 + number)

    before = signal.signal(SIGHUP, hang_up)
    try:
        yield
    finally:
        signal.signal(SIGHUP, before)


def ignored() -> bool:
    """Whether this process was started with SIGHUP ignored, as by ``nohup``."""
    return SIGHUP is not None and signal.getsignal(SIGHUP) is signal.SIG_IGN
