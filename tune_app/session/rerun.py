"""Rerunning a configuration: train it once more and compare everything it reports with the record."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.session import recorded_points
from tune_app.session.loading import LoadedTask
from tune_app.session.request import Request
from tune_app.session.session import Session
from tune_app.status import Status
from tune_app.sweep import Sweep, events
from tune_app.sweep.configurations import Configuration
from tune_app.tasks import task

#: A value that differs: replicate, metric, recorded value, new value.
Difference = tuple[int, str, float | None, float | None]


@dataclass(frozen=True)
class RerunOutcome:
    """The outcome of a rerun: how many values were compared, which of them differ, and on what device."""

    sample: int
    compared: int
    differences: list[Difference]
    device: str


def rerun(request: Request, loaded: LoadedTask, sweep: Sweep, sample: int) -> RerunOutcome:
    """Train a configuration as a new run in a temporary folder, and compare it with the record.

    Raises:
        RunError: the configuration has not ended; and what ``Session.train`` raises.
    """
    configuration = sweep.history.configurations[sample]
    status = sweep.history.status(configuration, sweep.space.replicate_numbers, live=False)
    if status not in (Status.FINISHED, Status.STOPPED):
        raise RunError(
            f"{sweep.name}: configuration {sample} is {status}. Only one that has finished or "
            "was stopped can be trained again."
        )
    epochs = sweep.space.epochs
    if not task.reads_epochs(loaded.task):  # else training for fewer epochs would give other values
        epochs = configuration.stopped_at or max(attempt.target for attempt in configuration.attempts)
    keys = recorded_points.keys(sweep.space, [configuration.config], epochs)
    space = spaces.changed(sweep.space, keys | {"epochs": epochs, "keep": "none"}, "again", recorded=True)
    with tempfile.TemporaryDirectory(prefix="tune-app-rerun-") as folder:
        again = replace(request, space=space, name="again", runs_dir=Path(folder), storage=None)
        made = Session(again, loaded, numerics=sweep.numerics).train()
        [new] = made.history.configurations.values()
        old_and_new = list(_values(configuration, new, sweep.space.replicate_numbers))
        device = "+".join(dict.fromkeys(attempt.device for attempt in made.history.attempts.values()))
    differences = [each for each in old_and_new if each[2] != each[3]]
    event = events.Rerun(sample=sample, compared=len(old_and_new), differing=len(differences), device=device)
    with sweep.writing():
        sweep.note(event, durable=True)
    return RerunOutcome(sample, len(old_and_new), differences, device)


def _values(old: Configuration, new: Configuration, replicates: range) -> Iterator[Difference]:
    """Every recorded value with the new one, which is None where the rerun did not report it."""
    for replicate in replicates:
        now = _reported(new, replicate)
        for name, then in _reported(old, replicate).items():
            yield replicate, name, then, now.get(name)


def _reported(configuration: Configuration, replicate: int) -> dict[str, float | None]:
    """Every value that a replicate reported, by metric and epoch, and its test metrics."""
    values: dict[str, float | None] = {}
    for epoch, metrics, _ in configuration.epochs(replicate):
        values |= {f"{name} of epoch {epoch}": value for name, value in metrics.items()}
    attempt = configuration.last(replicate)
    if attempt and attempt.test:
        index = attempt.replicates.index(replicate)
        values |= {name: column[index] for name, column in attempt.test.items()}
    return values
