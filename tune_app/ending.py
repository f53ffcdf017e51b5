"""How a sitting ends: by a signal, by what its trials came to, or by its storage."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tune_app import progress
from tune_app.driver import Driver
from tune_app.errors import Interrupted, StorageError, TrialsFailed, TuneAppError
from tune_app.finished import failures
from tune_app.history import ENDED
from tune_app.storage import Mirror
from tune_app.sweep import Sweep


@contextmanager
def signals(driver: Driver) -> Iterator[list[int]]:
    """Ctrl-C or SIGTERM once: end in good order. Twice: leave at once; the record is safe either way.

    A SIGINT that this process was started to ignore stays ignored: a shell starts its background processes
    so, since a Ctrl-C is meant for the process in the foreground. SIGTERM always ends a run.
    """
    caught: list[int] = []

    def handle(number: int, _: object) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        progress.note("stopping: writing what is finished (Ctrl-C again to leave at once)")
        end(driver, signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    handled = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        handled.append(signal.SIGINT)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(driver: Driver, why: str) -> None:
    """Have a sitting end in good order, from whatever thread; the first reason stands."""
    driver.ending = driver.ending or why


def raise_outcome(sweep: Sweep, driver: Driver | None, caught: list[int], mirror: Mirror | None) -> None:
    """Raise what a sitting that is over came to, if it is anything else than what was wanted.

    Raises:
        Interrupted: a signal ended it.
        TrialsFailed: trials did, or it ended before its time.
        SpaceError: the sampler could suggest nothing.
        StorageError: the run was taken over, or its storage lacks the end of it.
    """
    if mirror and mirror.taken:
        raise StorageError(
            f"{sweep.name} was {mirror.taken}.\n  This process has ended in good order; what it trained "
            f"since is in {sweep.paths.folder} alone."
        )
    found, unmirrored = outcome(sweep, driver, caught), mirror.unmirrored() if mirror else ""
    if found:
        if unmirrored:
            progress.note(unmirrored)
        raise found
    if unmirrored:
        raise StorageError(unmirrored)


def outcome(sweep: Sweep, driver: Driver | None, caught: list[int]) -> TuneAppError | None:
    """What a session came to, ``caught`` being the signals that ended it; None where it did all."""
    statuses = sweep.statuses()
    ended = sum(status in ENDED for status in statuses)
    if driver and driver.ending:
        message = (
            f"{ended} of {max(len(statuses), sweep.space.size())} configurations ended. Continue with: "
            f"tune-app resume {sweep.name}"
        )
        if "failed" in statuses:
            message += f"\n  What has failed is tried again by: tune-app retry {sweep.name}"
        if caught:
            return Interrupted(message, 128 + caught[0])
        return TrialsFailed(f"{driver.ending}\n  {message}")
    if driver and driver.unsuggested and not statuses:
        return driver.unsuggested
    if driver and driver.unsuggested:
        there = f"{ended} of {sweep.space.size()} configurations ended; no more are suggested."
        return TrialsFailed(f"{driver.unsuggested}\n  {there}")
    return failures(sweep)
