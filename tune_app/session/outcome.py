"""How a session ends: with the outcome of its trials, with an error and advice, or with nothing to train.

It loads neither the task nor the data, nor any module that computes tables, so a command on a run that lacks
nothing is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tune_app import progress
from tune_app.driver.checkpoints import CheckpointRetention
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
from tune_app.status import ENDED, Status
from tune_app.storage import Mirror
from tune_app.sweep import Sweep, run_summaries
from tune_app.sweep.configurations import Configuration
from tune_app.sweep.paths import NO_STORAGE


@contextmanager
def errors_with_advice(advice: Callable[[], str]) -> Iterator[None]:
    """Where a disk refuses a write, or Ray is lost, the error ends with ``advice()``: what to do next."""
    try:
        yield
    except RayLost as error:
        raise RayLost(f"{error}\n  {advice()}") from error
    except (OSError, DiskError) as error:
        known = as_disk_error(error)
        if known is None:
            raise
        raise type(known)(f"{known}\n  Free some space there.\n  {advice()}") from error


def next_command(sweep: Sweep) -> str:
    """How much of a sweep is trained, and the command to give next."""
    if sweep.complete_and_trained():
        return (
            f"Everything is trained and recorded. To write results and report: tune-app report {sweep.name}"
        )
    return f"{_ended(sweep)}. Continue with: tune-app resume {sweep.name}"


def _ended(sweep: Sweep) -> str:
    statuses = sweep.statuses()
    ended = sum(status in ENDED for status in statuses)
    return f"{ended} of {max(len(statuses), sweep.space.size())} configurations ended"


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
    if found and unmirrored:
        progress.note(unmirrored)
    if found or unmirrored:
        raise found or StorageError(unmirrored)


def outcome(sweep: Sweep, driver: Driver | None, caught: list[int]) -> TuneAppError | None:
    """The error that a session ended with, ``caught`` being the signals that it caught; None for success."""
    if driver and driver.ending and (caught or not sweep.complete_and_trained()):
        message = next_command(sweep)
        if failed(sweep):
            message = f"To try the failed configurations again: tune-app retry {sweep.name}\n  {message}"
        if caught:
            return Interrupted(message, 128 + caught[0])
        return TrialsFailed(f"{driver.ending}\n  {message}")
    error = driver.queue.search_error if driver else None
    if error and sweep.history.configurations:
        return TrialsFailed(f"{error}\n  {_ended(sweep)}; no more are suggested.")
    return error or failures(sweep)


def failed(sweep: Sweep) -> list[Configuration]:
    """The configurations that have failed."""
    statuses = zip(sweep.history.configurations.values(), sweep.statuses(), strict=True)
    return [configuration for configuration, status in statuses if status == Status.FAILED]


def failures(sweep: Sweep) -> TrialsFailed | None:
    """The error that ends a session if configurations of the run failed; None if none did."""
    found = failed(sweep)
    if not found:
        return None
    attempt = next(each for each in reversed(found[0].attempts) if each.end == Status.FAILED)
    log = f"\n  its log: {sweep.paths.folder / attempt.log}" if attempt.log else ""
    return TrialsFailed(
        f"{len(found)} of {len(sweep.history.configurations)} configurations failed. "
        f"The first: {attempt.reason}{log}\n  To try them again: tune-app retry {sweep.name}"
    )


# ---------------------------------------------------------------- a run that lacks nothing


def lacks_nothing(sweep: Sweep, asked_storage: str | None) -> bool:
    """Whether a session would neither train nor write a file for which it needs the task or the data."""
    images = sweep.paths.test_images
    return (
        {asked_storage or NO_STORAGE, sweep.history.session.storage or NO_STORAGE} == {NO_STORAGE}
        and (
            sweep.data.kind == "none"
            or (images.is_file() and not sweep.test_images_edited(images.read_bytes()))
        )
        and not sweep.live()
        and sweep.complete_and_trained()
    )


def tidy(sweep: Sweep) -> None:
    """Finish what a crash at the very end of a run may have left undone; the run is open for writing."""
    sweep.record_planned_points()
    sweep.restore_views(progress.note)
    CheckpointRetention(sweep).remove_unneeded()


def summary(sweep: Sweep, no_report: bool = False) -> str | None:
    """The summary of a run whose results and report are up to date; None if they must be written first.

    With ``no_report`` the report need not be.
    """
    known, paths = run_summaries.read(sweep.paths.folder), sweep.paths
    if known is None or not all(path.is_file() for path in (paths.results, paths.seeds, paths.curves)):
        return None
    page = paths.report / "index.html"
    # one that is older than the results is that of an earlier session
    drawn = all(
        path.is_file() and path.stat().st_mtime_ns >= paths.results.stat().st_mtime_ns
        for path in (page, paths.report / "report.md")
    )
    if not drawn and not no_report:
        return None
    tally, best = run_summaries.tally(known["states"], known["configurations"]), known["shown"]
    return "\n".join(
        [
            f"{sweep.name}: everything is trained: {tally}",
            *([f"Best: {best}"] if best else []),
            f"Results: {paths.results}, {paths.seeds.name}, {paths.curves.name}",
            f"Report:  {page if drawn else f'not drawn. To draw it: tune-app report {sweep.name}'}",
            f"Next: tune-app show {sweep.name}, or to add seeds or epochs: tune-app extend {sweep.name}",
        ]
    )
