"""Runs and results as plain values, for JSON and for scripts."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pandas as pd

from tune_app import results
from tune_app.driver import logs
from tune_app.errors import FolderChanged, RunError, StorageError
from tune_app.results import Frames, verdict
from tune_app.sweep import Sweep, find_sample, run_summaries
from tune_app.text import Notify


def summary(frames: Frames) -> dict[str, Any]:
    """A run without its configurations, and the best of them, with its values ``shown`` in words."""
    frames = results.sealed(frames)
    ranked = results.ranked(frames)
    found = {**_head(frames), "parameters": frames.parameters, "varying": frames.varying, "best": None}
    if ranked.empty:
        return found | {"shown": ""}
    sample, metric = int(ranked.iloc[0]["sample"]), frames.sweep.space.metric.name
    reached = frames.units.measure(metric, frames.measured(sample, frames.choice_of(metric)), unit=True)
    best, by = rows(frames, ranked.head(1))[0], frames.sweep.space.chosen_by(metric, short=True)
    return found | {"best": best, "shown": f"{frames.name_of(sample, short=True)}: {by} {reached}"}


def write_summary(frames: Frames) -> None:
    """Write the summary of a run, so that it is listed without its record; raises StorageError."""
    run_summaries.write(frames.sweep.paths, summary(frames))


def open_test_set(frames: Frames, by: str, notify: Notify) -> None:
    """Record that people are shown all test figures, and keep the summary of the run up to date."""
    frames.sweep.record_opening(by, notify)
    with suppress(StorageError, FolderChanged), frames.sweep.rewriting():
        write_summary(frames)


def run(frames: Frames) -> dict[str, Any]:
    """A run with all of its configurations, as in ``results.csv``."""
    return {**_head(frames), "trials": rows(frames, frames.trials)}


def best(frames: Frames, within: float | None = None) -> dict[str, Any]:
    """The best configuration: ``sample``, ``config``, and its row of ``results.csv``; raises RunError.

    ``choose`` has the number of epochs that choose. ``best_set`` has the samples that may be the best,
    ``expected`` the mean and the half-width of its 95% interval that new seeds of the best are expected to
    have, of what is chosen by: null for fewer than three seeds. With a
    margin ``within``, ``within`` has it and the samples that are shown to differ from the best by less.
    """
    ranked, head = results.ranked(frames), _head(frames)
    if ranked.empty:
        raise RunError(f"{head['run']}: no configuration has finished, so there is no best one yet.")
    sample, judged = int(ranked.iloc[0]["sample"]), verdict.judge(frames, test=False, margin=within)
    equal = judged.equivalence
    return {
        "run": head["run"],
        "sample": sample,
        "metric": head["metric"],
        "choose": head["choose"],
        "config": dict(frames.config(sample)),
        "results": rows(frames, ranked.head(1))[0],
        "best_set": list(judged.best_set),
        "expected": judged.expected and {"mean": judged.expected.mean, "ci95": judged.expected.half_width},
        **({} if equal is None else {"within": {"margin": equal.margin, "samples": list(equal.shown)}}),
    }


def log(sweep: Sweep, trial: str) -> str:
    """What the trial ``12.1`` has printed, and its traceback; for ``12``, its newest. Raises RunError."""
    attempts = sweep.history.configurations[find_sample(sweep, trial)].attempts
    asked = [each for each in attempts if "." not in trial or trial == each.trial]
    found = next((paths for each in reversed(asked) if (paths := logs.find(sweep, each))), [])
    if not found:
        there = [each.trial for each in sweep.history.attempts.values() if logs.find(sweep, each)]
        known = f"There are logs of: {', '.join(there)}" if there else "Nor has any other trial of it."
        raise RunError(
            f'{sweep.name}: the trial "{trial}" has left no log: nothing was printed or raised. {known}'
        )
    try:
        texts = [path.read_text(encoding="utf-8", errors="backslashreplace") for path in found]
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return "\n".join(texts).rstrip()


def _head(frames: Frames) -> dict[str, Any]:
    sweep = frames.sweep
    statuses = list(frames.trials["status"])
    return {
        "run": sweep.name,
        "folder": str(sweep.paths.folder),
        "space": sweep.space.name,
        "task": sweep.space.task,
        **frames.identity,
        "metric": {"name": sweep.space.metric.name, "mode": sweep.space.metric.mode},
        "choose": sweep.space.choose.model_dump(),
        "configurations": max(len(statuses), sweep.space.size()),
        "states": {state: statuses.count(state) for state in dict.fromkeys(statuses)},
        "live": sweep.live(),
    }


def rows(frames: Frames, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON's own values: null where there is none, no key for a parameter that does not exist."""
    return [
        {
            str(name): _cell(value)
            for name, value in row.items()
            if name not in frames.parameters or value is None or not pd.isna(value)
        }
        for row in frame.to_dict("records")
    ]


def _cell(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value
