"""What can be done with a run that there is: go on, want more of it, try again, confirm, stop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tune_app import progress, storage
from tune_app import space as spaces
from tune_app.errors import DataError, RunError
from tune_app.search import restoring
from tune_app.session import launch, undoing
from tune_app.session.launch import Material, Request, View
from tune_app.space import Config, Scalar, SearchSpace
from tune_app.sweep import Sweep, code, control, events, find_sample, trust, views
from tune_app.sweep.events import Created
from tune_app.sweep.history import Configuration
from tune_app.sweep.paths import RunPaths, find_runs
from tune_app.sweep.record import read
from tune_app.tasks import task


def request_for(sweep: Sweep, **options: Any) -> Request:
    """The request that goes on with a run: its own space, and its data from where it was found.

    ``options`` are those of Request; ``data`` names another place where the same data lies now,
    ``resources`` replaces those of the space, key by key, and ``storage`` is as it was last unless given.
    ``trust`` says that what the run names may be used though it may come from a stranger.

    Raises:
        TrustError: it names code, data or a storage that this user has not named for it.
        DataError: the data is not where it was.
    """
    asked_data, asked_storage = options.pop("data", None), options.pop("storage", None)
    source, recorded = sweep.header.source, sweep.history.session.storage
    if source is None:
        raise RunError(f"{sweep.paths.record}: does not say where the data is, so the run cannot go on.")
    names = trust.named(
        sweep.space,
        source if asked_data is None else None,
        recorded if asked_storage is None else None,
    )
    trust.require(sweep.paths.folder, sweep.identity, names, options.pop("trust", False))
    path, data = source.path, source.data
    if asked_data is not None:
        data = asked_data
    elif data is not None and path is not None and not Path(data).exists():
        data = path
    if path is not None and data == path and not Path(path).exists():
        raise DataError(
            f"{path}: the data of {sweep.name} is not there any more. Say where it is with --data."
        )
    asked = options.pop("resources", None) or {}
    known = sweep.space.resources.model_dump()
    resources = spaces.Resources.model_validate(known | {k: v for k, v in asked.items() if v is not None})
    space = sweep.space.model_copy(update={"resources": resources})
    place = asked_storage or recorded
    options["storage"] = None if place == storage.NONE else place
    return Request(
        space,
        data,
        source.image_size,
        source.split,
        source.everything,
        name=sweep.name,
        runs_dir=sweep.paths.folder.parent,
        **options,
    )


def gather(request: Request, sweep: Sweep) -> Material:
    """The task and data of a run, held against what is recorded.

    Raises:
        DataError: the data has changed; and what ``launch.gather`` raises.
    """
    material = launch.gather(request)
    if not sweep.data.same(material.identity):
        raise DataError(
            f"{sweep.name} was trained on {sweep.data.label()},\n"
            f"  and now there is {material.identity.label()}.\n"
            "  Give the same data with --data, or start a new run."
        )
    return material


def say_of_code(sweep: Sweep, points: Sequence[Config]) -> None:
    """Note how the code differs from the one that trained configurations which are now trained once more."""
    now = code.collect(sweep.space.task, code.known_files(sweep.history))
    samples = [c.sample for c in sweep.history.configurations.values() if c.config in points]
    if said := code.departed(sweep.history, samples, sweep.space.replicate_numbers, now):
        progress.note(said)


def resume(request: Request, material: Material, sweep: Sweep, view: View | None = None) -> Sweep:
    """Train what a run lacks, and nothing more; raises as ``launch.train`` does."""
    return launch.conduct(request, material, sweep, view)


def extend(
    request: Request,
    material: Material,
    sweep: Sweep,
    wider: SearchSpace,
    asked: str,
    view: View | None = None,
    code_changed: bool = False,
) -> Sweep:
    """Want what ``wider`` wants, ``asked`` so, and train it; raises as ``launch.train`` does.

    Raises:
        RunError: seeds or epochs would be added to those of other code, unless ``code_changed``.
    """
    task.check(wider, material.task)
    from_start = restarts(sweep.space, wider, material)
    now = code.collect(wider.task, code.known_files(sweep.history))
    mixed = code.mixing(sweep.history, wider, now, from_start)
    if mixed and not code_changed:
        raise code.refusal(sweep.name, mixed)

    def change(run: Sweep) -> None:
        run.extend(wider, asked, from_start)

    resources = request.space.resources
    return launch.conduct(
        replace(request, space=wider.model_copy(update={"resources": resources})),
        material,
        sweep,
        view,
        change,
    )


def undo(sweep: Sweep, trusted: bool = False) -> str:
    """Take back what the last extension of a run added and nobody has trained; returns how it was asked for.

    Raises:
        TrustError: its storage may be a stranger's, and is not ``trusted``.
        RunError: nothing can be taken back, or a process is working on the run.
    """
    names = trust.of_storage(sweep.history.session.storage)
    trust.require(sweep.paths.folder, sweep.identity, names, trusted)
    with (
        storage.mirrored(sweep.history.session.storage, sweep.opened, progress.note) as mirror,
        sweep.writing(mirror),
    ):
        asked = undoing.undo(sweep)
        views.restore(sweep, progress.note)
    restoring.restore_study(sweep, progress.note)
    return asked


def restarts(space: SearchSpace, wider: SearchSpace, material: Material) -> bool:
    """Whether more epochs mean another course from the first one on, as under a cosine schedule."""
    return wider.epochs != space.epochs and task.reads_epochs(material.task)


def retry(
    request: Request, material: Material, sweep: Sweep, samples: list[int], view: View | None = None
) -> Sweep:
    """Try failed configurations again, from their last checkpoints; raises as ``launch.train`` does."""
    retried = events.Retried(samples=samples)
    return launch.conduct(request, material, sweep, view, lambda run: run.note(retried, durable=True))


def failed(sweep: Sweep, trials: tuple[str, ...]) -> list[int]:
    """The samples that ``tune-app retry`` is to try again: those that are named, or all that failed.

    Raises:
        RunError: nothing has failed, or not what is named.
    """
    statuses = dict(zip(sweep.history.configurations, sweep.statuses(), strict=True))
    there = [
        sample
        for sample, status in statuses.items()
        if status == "failed" and sweep.history.configurations[sample].twin is None
    ]
    if not there:
        raise RunError(
            f"{sweep.name}: no configuration has failed. What is lacking is trained by: tune-app resume"
        )
    chosen = list(dict.fromkeys(find_sample(sweep, trial) for trial in trials)) or there
    for sample in chosen:
        if sample not in there:
            raise RunError(
                f"{sweep.name}: configuration {sample} has not failed, it is {statuses[sample]}. "
                f"Failed have: {', '.join(map(str, there))}"
            )
    return chosen


# ---------------------------------------------------------------- stop, from another terminal


def ask_to_stop(sweep: Sweep, trial: str | None, wait_s: float = 10.0) -> None:
    """Ask the process that works on a run to end it, or one of its trials, and wait until it has heard.

    Raises:
        RunError: nothing works on the run, the trial is not under way, or nobody answers.
    """
    request: dict[str, Any] = {"do": "stop"}
    if trial is not None:
        request["sample"] = sample = find_sample(sweep, trial)
        status = sweep.history.status(
            sweep.history.configurations[sample], sweep.space.replicate_numbers, live=True
        )
        if status != "running":
            raise RunError(f"{sweep.name}: configuration {sample} is {status}, so there is nothing to stop.")
    if not sweep.live():
        raise RunError(f"{sweep.name}: nothing is working on this run, so there is nothing to stop.")
    with sweep.rewriting():
        path = control.ask(sweep.paths.control, request)
    deadline = time.monotonic() + wait_s
    while path.exists():
        if time.monotonic() > deadline:
            raise RunError(
                f"{sweep.name}: asked, and not heard within {wait_s:g} s. The request stays in {path}: "
                "remove it to take it back."
            )
        time.sleep(0.05)


# ---------------------------------------------------------------- rerun


@dataclass(frozen=True)
class Rerun:
    """A configuration trained once more: how many values were compared, and those that differ.

    ``differences`` are (replicate, metric, recorded, now).
    """

    sample: int
    compared: int
    differences: list[tuple[int, str, float | None, float | None]]
    device: str


def rerun(request: Request, material: Material, sweep: Sweep, sample: int) -> Rerun:
    """Train one configuration again, in a folder of its own, and compare all it reports with the record.

    Raises:
        RunError: it has not ended; and what ``launch.train`` raises.
    """
    configuration = sweep.history.configurations[sample]
    status = sweep.history.status(configuration, sweep.space.replicate_numbers, live=False)
    if status not in ("finished", "stopped"):
        raise RunError(
            f"{sweep.name}: configuration {sample} is {status}: only what has ended can be trained again."
        )
    epochs = sweep.space.epochs
    if not task.reads_epochs(material.task):  # else fewer of them would train otherwise
        epochs = configuration.stopped_at or max(attempt.target for attempt in configuration.attempts)
    keys = _only(sweep.space, [configuration.config], epochs) | {"epochs": epochs, "keep": "none"}
    again = spaces.changed(sweep.space, keys, "again", recorded=True)
    with tempfile.TemporaryDirectory(prefix="tune-app-rerun-") as folder:
        made = launch.conduct(
            replace(request, space=again, name="again", runs_dir=Path(folder), storage=None),
            material,
            None,
            numerics=sweep.numerics,
        )
        found = _compare(
            configuration, next(iter(made.history.configurations.values())), sweep.space.replicate_numbers
        )
        device = "+".join(dict.fromkeys(a.device for a in made.history.attempts.values()))
    with sweep.writing():
        compared, differing = found[0], len(found[1])
        again_ = events.Rerun(sample=sample, compared=compared, differing=differing, device=device)
        sweep.note(again_, durable=True)
    return Rerun(sample, *found, device)


def _only(space: SearchSpace, points: list[Mapping[str, Scalar]], epochs: int) -> dict[str, Any]:
    """The keys of a space that tries these points and no others, to their end: only patience may end one."""
    stop: dict[str, Any] = {"scheduler": "none"}
    if space.stop.patience is not None and space.stop.grace_period + space.stop.patience < epochs:
        stop |= space.stop.model_dump(include={"patience", "min_delta", "grace_period", "metric"})
    return {
        "space": {},
        "fixed": {},
        "configs": [dict(point) for point in points],
        "search": {"algorithm": "grid"},
        "stop": stop,
    }


def _compare(
    old: Configuration, new: Configuration, replicates: range
) -> tuple[int, list[tuple[int, str, float | None, float | None]]]:
    compared, differences = 0, []
    for replicate in replicates:
        for name, (then, now) in _paired(_values(old, replicate), _values(new, replicate)).items():
            compared += 1
            if then != now:
                differences.append((replicate, name, then, now))
    return compared, differences


def _paired(
    old: dict[str, float | None], new: dict[str, float | None]
) -> dict[str, tuple[float | None, float | None]]:
    return {name: (value, new.get(name)) for name, value in old.items()}


def _values(configuration: Configuration, replicate: int) -> dict[str, float | None]:
    """Every value that a replicate reported, by epoch and name, and its test metrics."""
    values: dict[str, float | None] = {}
    for epoch, metrics, _ in configuration.epochs(replicate):
        values |= {f"{name} of epoch {epoch}": value for name, value in metrics.items()}
    attempt = configuration.last(replicate)
    if attempt and attempt.test:
        index = attempt.replicates.index(replicate)
        values |= {name: column[index] for name, column in attempt.test.items()}
    return values


# ---------------------------------------------------------------- confirm


def confirmation(sweep: Sweep, top: int, seeds: int) -> tuple[SearchSpace, str]:
    """The space that trains a run's ``top`` best distinct configurations on new seeds; a name for that run.

    The replicates' numbers lie beyond those of the run and of every confirmation of it so far.

    Raises:
        RunError: nothing has finished, or an earlier confirmation cannot be read: its seeds are not known.
    """
    from tune_app import results  # here, for it loads pandas and scipy

    ranked = results.ranked(results.load(sweep))
    best = ranked[ranked["twin"].isna()].head(top)  # a point that was drawn twice is confirmed once
    if best.empty:
        raise RunError(f"{sweep.name}: no configuration has finished, so there is none to confirm.")
    earlier = _confirmations(sweep)
    first = max(other.space.replicate_numbers.stop for other in (sweep, *earlier))
    points = [sweep.history.configurations[sample].config for sample in best["sample"]]
    keys = _only(sweep.space, points, sweep.space.epochs) | {"seeds": seeds, "first_replicate": first}
    keys["description"] = f"The best {len(points)} of {sweep.name}, on seeds that it has not seen."
    name = f"{sweep.name}-confirm" + (f"-{len(earlier) + 1}" if earlier else "")
    return spaces.changed(sweep.space, keys, "to confirm", recorded=True), name


def _confirmations(sweep: Sweep) -> list[Sweep]:
    """The runs beside this one that confirm it; others may be damaged."""
    found = []
    for folder in find_runs(sweep.paths.folder.parent):
        try:
            header = next((event for _, event in read(RunPaths(folder).record)), None)
            confirms = header.confirms if isinstance(header, Created) else None
        except RunError:
            confirms = sweep.name if folder.name.startswith(f"{sweep.name}-confirm") else None
        if confirms == sweep.name:
            found.append(Sweep.open(folder))
    return found
