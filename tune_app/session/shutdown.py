"""How a sitting ends: by a signal, by what its trials came to, or by its storage."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tune_app import progress
from tune_app.driver.driver import Driver
from tune_app.errors import DiskError, Interrupted, RayLost, StorageError, TrialsFailed, TuneAppError, refused
from tune_app.session import hangup
from tune_app.session.finished import failures
from tune_app.storage import Mirror
from tune_app.sweep import Sweep
from tune_app.sweep.history import ENDED


@contextmanager
def signals(driver: Driver) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM or SIGHUP once: end in good order. Twice: leave at once. The record is safe.

    Where SIGHUP comes since the terminal is gone, what is under way is saved, and the session goes on.
    A SIGINT or SIGHUP that this process was started to ignore stays ignored: a shell starts its background
    processes so, since a Ctrl-C is meant for the process in the foreground, and so does ``nohup``. SIGTERM
    always ends a run.
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
        progress.note("stopping: writing what is finished (Ctrl-C again to leave at once)")
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


@dataclass
class Session:
    """How a session stands: its run, if there is one yet, and whether what it is to change is recorded."""

    sweep: Sweep | None
    changed: bool


@contextmanager
def telling(sweep: Sweep | None, changed: bool) -> Iterator[Session]:
    """Where a disk refuses a write, or Ray is lost, say how to go on.

    Raises:
        DiskError, RayLost: with the way on.
    """
    session = Session(sweep, changed)
    try:
        yield session
    except (OSError, DiskError, RayLost) as error:
        told = error if isinstance(error, RayLost) else refused(error)
        if told is None:
            raise
        if session.sweep is None:
            on = "No run was made. Give the command again."
        elif not session.changed:
            on = "The run is as it was. Give the command again."
        else:
            on = way_on(session.sweep)
        room = "" if isinstance(error, RayLost) else "\n  Make room there."
        raise type(told)(f"{told}{room}\n  {on}") from error


def way_on(sweep: Sweep) -> str:
    """How far a sweep is, and the command that goes on with it."""
    if sweep.complete_and_trained():
        return f"All is trained and recorded. To write results and report: tune-app report {sweep.name}"
    statuses = sweep.statuses()
    ended = sum(status in ENDED for status in statuses)
    return (
        f"{ended} of {max(len(statuses), sweep.space.size())} configurations ended. Continue with: "
        f"tune-app resume {sweep.name}"
    )


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
    if driver and driver.ending and (caught or not sweep.complete_and_trained()):
        message = way_on(sweep)
        if "failed" in statuses:
            message = f"What has failed is tried again by: tune-app retry {sweep.name}\n  {message}"
        if caught:
            return Interrupted(message, 128 + caught[0])
        return TrialsFailed(f"{driver.ending}\n  {message}")
    if driver and driver.unsuggested and not statuses:
        return driver.unsuggested
    if driver and driver.unsuggested:
        ended = sum(status in ENDED for status in statuses)
        there = f"{ended} of {sweep.space.size()} configurations ended; no more are suggested."
        return TrialsFailed(f"{driver.unsuggested}\n  {there}")
    return failures(sweep)
