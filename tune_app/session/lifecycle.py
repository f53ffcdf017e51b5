"""The commands on a run. Each that trains is one `Session`, with its sweep and its change."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tune_app import progress, storage
from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.session import outcome
from tune_app.session.request import LoadedTask, Request
from tune_app.session.session import Session
from tune_app.space import Config, SearchSpace
from tune_app.status import Status
from tune_app.sweep import Sweep, code, control, events, find_sample
from tune_app.sweep.configurations import UNREVIVED, Configuration, Revival
from tune_app.sweep.paths import RunPaths, find_runs, is_run
from tune_app.sweep.record import read
from tune_app.tasks import task
from tune_app.text import counted

#: Keys of a space that a later session may change: they say how to train and what to save, not what to try.
_CHANGEABLE = ("resources", "checkpoint_every", "keep", "max_failures")

#: A value that differs: replicate, metric, recorded value, new value.
Difference = tuple[int, str, float | None, float | None]


# ---------------------------------------------------------------- run and resume


def run(request: Request, loaded: LoadedTask) -> Session:
    """A session of a new run, or of the run of the requested name; one on the storage alone is fetched.

    Raises:
        RunError: a run of that name exists, and its space or its data differ.
    """
    if request.name is None:
        return Session(request, loaded)
    if not is_run(request.runs_dir / request.name):
        if request.name not in storage.runs(request.storage):
            return Session(request, loaded)
        storage.fetch(str(request.storage), request.name, request.runs_dir, progress.note)
    sweep = Sweep.open(request.runs_dir / request.name)
    differences = _differences(sweep, request)
    if not sweep.data.same(loaded.identity):
        differences.append(f"data: {sweep.data.label()} recorded, {loaded.identity.label()} asked")
    if differences:
        raise RunError(
            f"--name {request.name}: a run of this name exists, but it is another sweep:\n  "
            + "\n  ".join(differences)
            + f"\n  To add to that run: tune-app extend {request.name}. To start a new one: give another "
            "--name, or leave it out."
        )
    return Session(request, loaded, sweep)


def find_finished(request: Request) -> Sweep | None:
    """The run of the requested name if the request is the same and all is trained: no data need be loaded."""
    if request.name is None or request.storage or not is_run(request.runs_dir / request.name):
        return None
    sweep = Sweep.open(request.runs_dir / request.name)
    same = sweep.header.source == request.source and not _differences(sweep, request)
    return sweep if same and outcome.lacks_nothing(sweep, None) else None


def _differences(sweep: Sweep, request: Request) -> list[str]:
    keys = [*_CHANGEABLE, *(["choose"] if "choose" not in request.space.model_fields_set else [])]
    asked = request.space.model_copy(update={key: getattr(sweep.space, key) for key in keys})
    return spaces.difference(sweep.space, asked)


def resume(request: Request, loaded: LoadedTask, sweep: Sweep) -> Session:
    """A session that trains what a run lacks."""
    return Session(request, loaded, sweep)


# ---------------------------------------------------------------- extend and retry


def extend(
    request: Request,
    loaded: LoadedTask,
    sweep: Sweep,
    wider: SearchSpace,
    asked: str,
    code_changed: bool = False,
    absorbs: int = 0,
    revival: Revival = UNREVIVED,
) -> Session:
    """A session that wants the space ``wider`` from now on; ``asked`` is how the user put it.

    For ``absorbs`` and ``revival`` see `events.Extended`.

    Raises:
        TaskError: the task cannot take a new value.
        RunError: seeds or epochs would be added to those of other code, unless ``code_changed``.
    """
    task.check(wider, loaded.task)
    from_start = restarts(sweep.space, wider, loaded)
    current = code.collect(wider.task, code.known_files(sweep.history))
    mixed = code.mixed_if_trained(sweep.history, wider, current, from_start)
    if not from_start:
        continued = [
            each
            for each in revival.configurations
            if any(a.saved and a.trial not in revival.lost for a in each.attempts)
        ]
        mixed |= code.mixed(sweep.history, continued, wider, current)
    if mixed and not code_changed:
        raise code.mixing_error(sweep.name, mixed)
    space = wider.model_copy(update={"resources": request.space.resources})
    return Session(
        replace(request, space=space),
        loaded,
        sweep,
        lambda run: run.extend(wider, asked, from_start, absorbs, revival),
    )


def revivable(sweep: Sweep) -> Revival:
    """The configurations that are paused, or were stopped before they diverged.

    Raises:
        RunError: there are none.
    """
    found = [
        each
        for each in sweep.history.configurations.values()
        if each.paused or (each.stopped_at is not None and not any(a.diverged for a in each.attempts))
    ]
    if not found:
        raise RunError(
            f"{sweep.name}: no configuration is paused or was stopped early, so there is none to revive. To "
            f"train what is lacking: tune-app resume {sweep.name}"
        )
    attempts = [attempt for each in found for attempt in each.attempts]
    return Revival(found, {a.trial for a in attempts if a.saved and not sweep.is_intact(a.saved)})


def extension_notes(
    sweep: Sweep, wider: SearchSpace, loaded: LoadedTask, revival: Revival = UNREVIVED
) -> Iterator[str]:
    """What an extension will train again, or anew."""
    if from_start := restarts(sweep.space, wider, loaded):
        yield (
            "note: this task's training depends on the number of epochs (for example its learning-rate "
            "schedule), so every trial restarts from epoch 1."
        )
    elif wider.epochs > sweep.space.epochs and sweep.space.keep != "last":
        yield (
            f"note: {sweep.name} has no checkpoints of its finished trials (keep: {sweep.space.keep}), so "
            "they restart from epoch 1. A run with keep: last continues them."
        )
    if not revival.configurations:
        return
    begins = [
        last.saved.epoch if last and last.saved and last.trial not in revival.lost and not from_start else 0
        for each in revival.configurations
        for last in map(each.last, each.replicates(wider))
    ]
    left = sum(wider.epochs - begin for begin in begins)
    again = sum(not begin for begin in begins)
    count = counted(len(revival.configurations), "configuration")
    yield f"{count} will be trained to epoch {wider.epochs}: {left:,} epochs"
    if again and not from_start:
        yield (
            f"note: {again:,} of their {counted(len(begins), 'replicate')} have no checkpoint, so they "
            "restart from epoch 1."
        )


def restarts(space: SearchSpace, wider: SearchSpace, loaded: LoadedTask) -> bool:
    """Whether more epochs change training from the first epoch on, as under a cosine schedule."""
    return wider.epochs != space.epochs and task.reads_epochs(loaded.task)


def settle(
    request: Request, loaded: LoadedTask, sweep: Sweep, batch: events.Batch, code_changed: bool = False
) -> Session:
    """A session that settles a run, beginning with this batch; see `tune_app.session.settle`.

    Raises:
        RunError: seeds would be added to those of other code, unless ``code_changed``.
    """
    members = [sweep.history.configurations[sample] for sample in batch.samples]
    current = code.collect(sweep.space.task, code.known_files(sweep.history))
    mixed = code.mixed(sweep.history, members, sweep.space, current)
    if mixed and not code_changed:
        raise code.mixing_error(sweep.name, mixed)
    return Session(request, loaded, sweep, lambda run: run.note(batch, durable=True))


def retry(request: Request, loaded: LoadedTask, sweep: Sweep, samples: list[int]) -> Session:
    """A session that tries failed configurations again, from their last checkpoints."""
    retried = events.Retried(samples=samples)
    return Session(request, loaded, sweep, lambda run: run.note(retried, durable=True))


def failed(sweep: Sweep, trials: tuple[str, ...]) -> list[int]:
    """The samples that `retry` trains: those of ``trials``, or all that failed.

    Raises:
        RunError: nothing has failed, or one of ``trials`` has not.
    """
    failures = [each.sample for each in outcome.failed(sweep) if each.duplicate_of is None]
    if not failures:
        raise RunError(
            f"{sweep.name}: no configuration has failed. To train what is lacking: "
            f"tune-app resume {sweep.name}"
        )
    chosen = list(dict.fromkeys(find_sample(sweep, trial) for trial in trials)) or failures
    for sample in chosen:
        if sample not in failures:
            raise RunError(
                f"{sweep.name}: configuration {sample} has not failed, it is {_status(sweep, sample)}. "
                f"These have failed: {', '.join(map(str, failures))}"
            )
    return chosen


def _status(sweep: Sweep, sample: int, live: bool = False) -> Status:
    configuration = sweep.history.configurations[sample]
    return sweep.history.status(configuration, configuration.replicates(sweep.space), live)


# ---------------------------------------------------------------- confirm and rerun


def confirmation(request: Request, sweep: Sweep, top: int, seeds: int) -> Request:
    """The request for a new run of the ``top`` best distinct configurations, each on ``seeds`` new seeds.

    Replicate numbers start after those of the run and of all earlier confirmations of it.

    Raises:
        RunError: no configuration has finished; or an earlier confirmation cannot be read, so that its seeds
            are unknown.
    """
    from tune_app import results  # loads pandas and scipy

    ranked = results.ranked(results.load(sweep))
    best = ranked[ranked["twin"].isna()].head(top)  # a point that was drawn twice is confirmed once
    if best.empty:
        raise RunError(f"{sweep.name}: no configuration has finished, so there is none to confirm.")
    earlier = _confirmations(sweep)
    points = [sweep.history.configurations[sample].config for sample in best["sample"]]
    space = narrowed(
        sweep.space,
        points,
        sweep.space.epochs,
        seeds=seeds,
        first_replicate=max(
            configuration.replicates(other.space).stop
            for other in (sweep, *earlier)
            for configuration in other.history.configurations.values()
        ),
        description=f"The best {len(points)} of {sweep.name}, on new seeds.",
    )
    name = f"{sweep.name}-confirm" + (f"-{len(earlier) + 1}" if earlier else "")
    return replace(request, space=space, name=name, confirms=sweep.name)


def _confirmations(sweep: Sweep) -> list[Sweep]:
    """The runs in the same folder that confirm this one. Other runs there may be damaged."""
    found = []
    for folder in find_runs(sweep.paths.folder.parent):
        try:
            header = next((event for _, event in read(RunPaths(folder).record)), None)
            confirms = header.confirms if isinstance(header, events.Created) else None
        except RunError:
            confirms = sweep.name if folder.name.startswith(f"{sweep.name}-confirm") else None
        if confirms == sweep.name:
            found.append(Sweep.open(folder))
    return found


def narrowed(space: SearchSpace, points: Sequence[Config], epochs: int, **changes: Any) -> SearchSpace:
    """A space of only these points of ``space``, with ``changes`` to its other keys.

    No rule that compares trials may end them; patience is kept where it can act within ``epochs``.
    """
    stop: dict[str, Any] = {"scheduler": "none"}
    if space.stop.patience is not None and space.stop.grace_period + space.stop.patience < epochs:
        stop |= space.stop.model_dump(
            include={"patience", "min_delta", "grace_period", "metric", "by"}, exclude_none=True
        )
    keys: dict[str, Any] = {"space": {}, "fixed": {}, "configs": [*map(space.labelled, points)]}
    keys |= {"search": {"algorithm": "grid"}, "stop": stop, "epochs": epochs, **changes}
    return spaces.changed(space, keys, "again", recorded=True)


def note_changed_code(sweep: Sweep, points: Sequence[Config]) -> None:
    """Tell the user how the code differs from the code that trained these points before."""
    current = code.collect(sweep.space.task, code.known_files(sweep.history))
    again = [each for each in sweep.history.configurations.values() if each.config in points]
    if warning := code.difference_note(sweep.history, again, sweep.space, current):
        progress.note(warning)


def rerun(
    request: Request, loaded: LoadedTask, sweep: Sweep, sample: int
) -> tuple[events.Rerun, list[Difference]]:
    """Train a configuration as a new run in a temporary folder, and compare it with the record.

    Returns what is recorded of this, and the values that differ.

    Raises:
        RunError: the configuration has not ended; and what ``Session.train`` raises.
    """
    configuration = sweep.history.configurations[sample]
    status = _status(sweep, sample)
    if status not in (Status.FINISHED, Status.STOPPED):
        raise RunError(
            f"{sweep.name}: configuration {sample} is {status}. Only one that has finished or "
            "was stopped can be trained again."
        )
    epochs = sweep.space.epochs
    if not task.reads_epochs(loaded.task):  # else training for fewer epochs would give other values
        epochs = configuration.stopped_at or max(attempt.target for attempt in configuration.attempts)
    replicates = configuration.replicates(sweep.space)
    space = narrowed(sweep.space, [configuration.config], epochs, keep="none", seeds=len(replicates))
    with tempfile.TemporaryDirectory(prefix="tune-app-rerun-") as folder:
        again = replace(request, space=space, name="again", runs_dir=Path(folder), storage=None)
        made = Session(again, loaded, numerics=sweep.numerics).train()
        [new] = made.history.configurations.values()
        old, now = (_reported(each, replicates) for each in (configuration, new))
        device = "+".join(dict.fromkeys(attempt.device for attempt in made.history.attempts.values()))
    differences = [(*key, then, now.get(key)) for key, then in old.items() if then != now.get(key)]
    event = events.Rerun(sample=sample, compared=len(old), differing=len(differences), device=device)
    with sweep.writing():
        sweep.note(event, durable=True)
    return event, differences


def _reported(configuration: Configuration, replicates: range) -> dict[tuple[int, str], float | None]:
    """Every value that was reported, by replicate and by metric and epoch, and the test metrics."""
    values: dict[tuple[int, str], float | None] = {}
    for replicate in replicates:
        for epoch, metrics, _ in configuration.epochs(replicate):
            values |= {(replicate, f"{name} of epoch {epoch}"): value for name, value in metrics.items()}
        attempt = configuration.last(replicate)
        if attempt and attempt.test:
            index = attempt.replicates.index(replicate)
            values |= {(replicate, name): column[index] for name, column in attempt.test.items()}
    return values


# ---------------------------------------------------------------- stop


def request_stop(sweep: Sweep, trial: str | None, wait_s: float = 10.0) -> None:
    """Ask the process that trains a run to end, or to end one trial, and wait until it has read this.

    Raises:
        RunError: no process trains the run, the trial is not running, or the process does not answer.
    """
    request: dict[str, Any] = {"do": "stop"}
    if trial is not None:
        request["sample"] = sample = find_sample(sweep, trial)
        status = _status(sweep, sample, live=True)
        if status not in (Status.RUNNING, Status.PAUSED):
            raise RunError(f"{sweep.name}: configuration {sample} is {status}, so there is nothing to stop.")
    if not sweep.live():
        raise RunError(f"{sweep.name}: no process is training this run, so there is nothing to stop.")
    with sweep.rewriting():
        path = control.ask(sweep.paths.control, request)
    deadline = time.monotonic() + wait_s
    while path.exists():
        if time.monotonic() > deadline:
            raise RunError(
                f"{sweep.name}: the process that trains this run did not answer within {wait_s:g} s. "
                f"The request stays in {path}; remove that file to withdraw it."
            )
        time.sleep(0.05)
