"""The end of a run that lacks nothing, from its record and the summary of its results.

It loads neither the task nor the data, nor any module that computes tables, so it is fast.
"""

from __future__ import annotations

from pathlib import Path

from tune_app.driver.checkpoint_retention import CheckpointRetention
from tune_app.errors import TrialsFailed
from tune_app.status import Status
from tune_app.sweep import Sweep, run_summaries
from tune_app.sweep.paths import NO_STORAGE, RunPaths
from tune_app.text import Notify


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


def tidy(sweep: Sweep, notify: Notify) -> None:
    """Finish what a crash at the very end of a run may have left undone; the run is open for writing."""
    sweep.record_planned_points()
    sweep.restore_views(notify)
    CheckpointRetention(sweep).remove_unneeded()


def failures(sweep: Sweep) -> TrialsFailed | None:
    """The error that ends a session if configurations of the run failed; None if none did."""
    statuses = sweep.statuses()
    failed = [
        configuration
        for configuration, status in zip(sweep.history.configurations.values(), statuses, strict=True)
        if status == Status.FAILED
    ]
    if not failed:
        return None
    attempt = next(each for each in reversed(failed[0].attempts) if each.end == Status.FAILED)
    log = f"\n  its log: {sweep.paths.folder / attempt.log}" if attempt.log else ""
    return TrialsFailed(
        f"{len(failed)} of {len(statuses)} configurations failed. The first: {attempt.reason}{log}\n"
        f"  To try them again: tune-app retry {sweep.name}"
    )


def summary(sweep: Sweep) -> str | None:
    """The summary of a run whose results and report are up to date; None if they must be written first."""
    known = run_summaries.read(sweep.paths.folder)
    if known is None or not all(path.is_file() for path in _written(sweep.paths)):
        return None
    tally, best = run_summaries.tally(known["states"], known["configurations"]), known["shown"]
    return "\n".join(
        [
            f"{sweep.name}: everything is trained: {tally}",
            *([f"Best: {best}"] if best else []),
            f"Results: {sweep.paths.results}, {sweep.paths.seeds.name}, {sweep.paths.curves.name}",
            f"Report:  {sweep.paths.report / 'index.html'}",
            f"Next: tune-app show {sweep.name}, or to add seeds or epochs: tune-app extend {sweep.name}",
        ]
    )


def _written(paths: RunPaths) -> list[Path]:
    return [paths.results, paths.seeds, paths.curves, paths.report / "index.html", paths.report / "report.md"]
