"""How a session ends: by a signal, with the outcome of its trials, or with an error of its storage."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tune_app import progress
from tune_app.driver.driver import Driver
from tune_app.errors import (
    DiskError,
    Interrupted,
    RayLost,
    StorageError,
    TrialsFailed,
    TuneAppError,
    as_disk_error,
)
from tune_app.session import hangup
from tune_app.session.finished import failures
from tune_app.status import ENDED, Status
from tune_app.storage import Mirror
from tune_app.sweep import Sweep


@contextmanager
def signals(driver: Driver) -> Iterator[list[int]]:
    """While the context lasts, a first SIGINT, SIGTERM or SIGHUP ends the sweep in order, a second at once.

    Yields the list of the signals that were caught. A SIGHUP whose cause is the loss of the terminal does not
    end the session: the running trials are saved and training continues. SIGINT and SIGHUP stay ignored where
    this process was started to ignore them, as a shell does for its background processes and ``nohup`` does.
    """
    caught: list[int] = []
    hangup.lost()

    def handle(number: int, _: object) -> None:
        if number == hangup.SIGHUP and hangup.lost():
            driver.save()
            return
        if caught:
            os._exit(128 + number)
        caught.append(number)
        progress.note("stopping: saving the running trials (Ctrl-C again to leave at once)")
        driver.end(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    handled = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        handled.append(signal.SIGINT)
    if hangup.SIGHUP and not hangup.ignored():
        handled.append(hangup.SIGHUP)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def errors_with_advice(advice: Callable[[], str]) -> Iterator[None]:
    """Where a disk refuses a write, or Ray is lost, the error ends with ``advice()``: what to do next."""
    try:
        yield
    except (OSError, DiskError, RayLost) as error:
        known = error if isinstance(error, RayLost) else as_disk_error(error)
        if known is None:
            raise
        room = "" if isinstance(error, RayLost) else "\n  Free some space there."
        raise type(known)(f"{known}{room}\n  {advice()}") from error


def next_command(sweep: Sweep) -> str:
    """How much of a sweep is trained, and the command to give next."""
    if sweep.complete_and_trained():
        return (
            f"Everything is trained and recorded. To write results and report: tune-app report {sweep.name}"
        )
    statuses = sweep.statuses()
    ended = sum(status in ENDED for status in statuses)
    return (
        f"{ended} of {max(len(statuses), sweep.space.size())} configurations ended. Continue with: "
        f"tune-app resume {sweep.name}"
    )


def raise_outcome(sweep: Sweep, driver: Driver | None, caught: list[int], mirror: Mirror | None) -> None:
    """Raise the error that a session ended with, if any. ``driver`` is None where nothing was trained.

    Raises:
        Interrupted: a signal ended the session.
        TrialsFailed: trials failed, or the session ended before everything was trained.
        SpaceError: the sampler could not suggest a single point.
        StorageError: another machine took over the run, or the storage lacks the end of it.
    """
    if mirror and mirror.taken:
        raise StorageError(
            f"{sweep.name} was {mirror.taken}.\n  This process stopped; what it has trained since then is "
            f"only in {sweep.paths.folder}."
        )
    found, unmirrored = outcome(sweep, driver, caught), mirror.unmirrored() if mirror else ""
    if found:
        if unmirrored:
            progress.note(unmirrored)
        raise found
    if unmirrored:
        raise StorageError(unmirrored)


def outcome(sweep: Sweep, driver: Driver | None, caught: list[int]) -> TuneAppError | None:
    """The error that a session ended with, ``caught`` being the signals that it caught; None for success."""
    statuses = sweep.statuses()
    if driver and driver.ending and (caught or not sweep.complete_and_trained()):
        message = next_command(sweep)
        if Status.FAILED in statuses:
            message = f"To try the failed configurations again: tune-app retry {sweep.name}\n  {message}"
        if caught:
            return Interrupted(message, 128 + caught[0])
        return TrialsFailed(f"{driver.ending}\n  {message}")
    if driver and driver.queue.search_error and not statuses:
        return driver.queue.search_error
    if driver and driver.queue.search_error:
        ended = sum(status in ENDED for status in statuses)
        progress_line = f"{ended} of {sweep.space.size()} configurations ended; no more are suggested."
        return TrialsFailed(f"{driver.queue.search_error}\n  {progress_line}")
    return failures(sweep)
