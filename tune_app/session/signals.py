"""Signals end a sweep in order. Closing the terminal does not end it.

A terminal that is closed, or whose connection breaks, sends SIGHUP to the processes that it started, and what
they print afterwards fails. A SIGHUP that is sent by ``kill`` ends a sweep, as SIGTERM does. A signal stays
ignored where this process was started to ignore it, as a shell does for its background processes and
``nohup`` does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from tune_app.errors import Terminated
from tune_app.training import streams

if TYPE_CHECKING:
    from tune_app.driver.driver import Driver

#: Windows has no SIGHUP.
_HANGUP = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
_TERMINAL = "/dev/tty"


@contextmanager
def ending(driver: Driver) -> Iterator[list[int]]:
    """Within the context a first SIGINT, SIGTERM or SIGHUP ends the sweep in order, a second at once.

    Yields the list of the signals that were caught. A SIGHUP whose cause is the loss of the terminal does not
    end the session: the running trials are saved and training continues.
    """
    from tune_app import progress

    caught: list[int] = []

    def handle(number: int, _: object) -> None:
        if number in _HANGUP and lost():
            driver.save()
            return
        if caught:
            os._exit(128 + number)
        caught.append(number)
        progress.note("stopping: saving the running trials (press Ctrl-C again to end at once)")
        driver.end(signal.Signals(number).name)

    with _handled(handle, [signal.SIGTERM, signal.SIGINT, *_HANGUP]):
        yield caught


@contextmanager
def survived() -> Iterator[None]:
    """Within the context the loss of the terminal does not end this process; later output is dropped."""

    def hang_up(number: int, _: object) -> None:
        if not lost():
            raise Terminated(128 + number)

    streams.make_output_lossy()
    with _handled(hang_up, _HANGUP):
        yield


@contextmanager
def _handled(handler: Callable[[int, Any], None], numbers: list[signal.Signals]) -> Iterator[None]:
    lost()  # from now on a terminal can be lost
    before = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


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
