"""From a space and data to a trained sweep: check everything, plan, make or find the run, train.

Whatever a user may have got wrong is found here before the first file is written.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tune_app import data, progress, space, stopping, storage
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.driver import sharding
from tune_app.driver.driver import Driver, Searcher
from tune_app.driver.resources import Estimate, Plan, plan
from tune_app.engines.choice import Engine, Wanted, open_engine
from tune_app.errors import RunError, TaskError
from tune_app.session import finished, provenance, shutdown
from tune_app.space import SearchSpace, canonical
from tune_app.sweep import Sweep, code, trust, views
from tune_app.sweep.events import Opened, Source
from tune_app.sweep.numerics import Numerics
from tune_app.sweep.paths import is_run
from tune_app.sweep.record import read
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task
from tune_app.tasks.isolation import gpus_possible
from tune_app.tasks.task import FunctionTask, Splits, Task
from tune_app.training import stacking_benchmark
from tune_app.training.stacking_benchmark import Choice, Question
from tune_app.training.task_check import check as check_task

#: Opens a view of a sweep for as long as it trains; the second argument is one line on how.
View = Callable[[Sweep, str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Request:
    """What ``tune-app run`` was asked: the space is validated, the rest is as the user gave it."""

    space: SearchSpace
    data: str | None = None
    image_size: int | None = None
    split: str = "image"
    everything: bool = False
    name: str | None = None
    runs_dir: Path = Path("runs")
    address: str = "local"
    argv: Sequence[str] = ()
    time_limit_s: float | None = None
    confirms: str | None = None
    #: Where the run is mirrored, as `storage.normal` leaves it; None for nowhere.
    storage: str | None = None
    wait_for_gpus: int = 0
    wait_s: float = 1800.0

    @property
    def origin(self) -> dict[str, Any]:
        """Where the data was found, for whoever goes on with the run, from whatever folder."""
        here = self.data is not None and Path(self.data).exists()
        path = str(Path(str(self.data)).resolve()) if here else None
        source = Source(self.data, path, self.image_size, self.split, self.everything)
        return {"source": source, "confirms": self.confirms}

    @property
    def wanted(self) -> Wanted:
        """What of it concerns the engine."""
        own = Path.cwd() if self.space.task not in task.BUILTIN else None
        return Wanted(self.address, self.space.resources, own, self.wait_for_gpus, self.wait_s)


@dataclass(frozen=True)
class Material:
    """A task with its data, loaded and checked against the space."""

    task: Task | FunctionTask
    identity: DataIdentity
    dataset: Dataset | None
    splits: Splits | None

    @property
    def size_bytes(self) -> int:
        """Size of the arrays that every worker will share."""
        if self.splits is None:
            return 0
        parts = (self.splits.train, self.splits.val, self.splits.test)
        return sum(part.x.nbytes + part.y.nbytes for part in parts)


def gather(request: Request) -> Material:
    """Load the task and its data, and hold the space against them.

    Raises:
        SpaceError, TaskError, DataError: what is wrong, and the mend.
    """
    loaded = task.load(request.space.task)
    task.check(request.space, loaded)
    stopping.make(request.space)
    if request.space.search.algorithm == "optuna":
        from tune_app.search import sampler

        sampler.make_sampler(request.space)
    if not isinstance(loaded, Task):
        if request.data is not None:
            raise TaskError(
                f"--data {request.data}: the task {request.space.task} is a function, which takes no data. "
                "Leave --data out."
            )
        return Material(loaded, NO_DATA, None, None)
    source = request.data
    if source is None and request.space.task in task.BUILTIN:
        source = "phantom"
    dataset = None
    if source is not None:
        dataset = data.load(
            source, image_size=request.image_size, split=request.split, everything=request.everything
        )
    with task.calling(request.space.task, "splits()"), task.code(request.space.task):
        splits = loaded.splits(dataset)
    if request.space.task not in task.BUILTIN:
        gpus = request.space.resources.gpus_per_trial != 0 and gpus_possible()
        check_task(request.space, loaded, splits, gpus or request.address not in ("inline", "local"))
    return Material(loaded, dataset.identity if dataset else task.identify(splits), dataset, splits)


def train(request: Request, material: Material, view: View | None = None) -> Sweep:
    """Train what is lacking of a sweep, new or found by its name, until nothing is.

    The same name goes on with a run where space and data are the same.

    Raises:
        ResourceError, RunError: before anything is written.
        DiskError: a disk of this machine refused a write; resumable.
        FolderChanged: the folder was moved, removed or replaced; resumable where it lies now.
        RayLost: Ray has died before training began; resumable.
        StorageError: the run was taken over, or its storage lacks the end of it.
        Interrupted: a signal ended it; resumable.
        TrialsFailed: all else ended, but these failed.
    """
    return conduct(request, material, _existing(request, material), view)


def conduct(
    request: Request,
    material: Material,
    existing: Sweep | None,
    view: View | None = None,
    change: Callable[[Sweep], Any] | None = None,
    numerics: Numerics | None = None,
) -> Sweep:
    """One sitting of a sweep, a new one where none is ``existing``.

    ``change`` is called once the run is open for writing: what it records there counts from then on.
    ``numerics`` are those of another run, where a new one is to come out the same.
    Raises as ``train`` does.
    """
    with shutdown.telling(existing, changed=change is None) as session:
        return _conduct(request, material, session, view, change, numerics)


def _conduct(
    request: Request,
    material: Material,
    session: shutdown.Session,
    view: View | None,
    change: Callable[[Sweep], Any] | None,
    numerics: Numerics | None,
) -> Sweep:
    existing = session.sweep
    if existing and existing.live():
        raise existing.busy()  # before an engine is started for nothing
    if existing and not change and _nothing_to_train(request, material, existing, view):
        return existing
    taken = storage.runs(request.storage)
    if not existing and request.name in taken:
        raise RunError(
            f"--name {request.name}: {request.storage} has a run of that name. Give another --name."
        )
    trials = max(request.space.size() if change or not existing else existing.outstanding(), 1)
    fixed = existing.numerics if existing else numerics
    with (
        _measuring(request, material, fixed) as choose,
        open_engine(
            request.wanted,
            material.splits,
            material.size_bytes,
            trials,
            sharding.parts(request.space),
            _load_results,
        ) as engine,
    ):
        if existing:
            sweep = existing
        else:
            choice = choose(engine.plan)
            if request.space.replicates == "stacked" and choice.why != stacking_benchmark.AS_ASKED:
                progress.note(f"note: replicates {choice.line}")
            sweep = Sweep.create(
                request.space,
                material.identity,
                request.runs_dir,
                request.name,
                numerics or Numerics(choice.replicates, engine.plan.threads, request.space.precision),
                taken,
                measured=asdict(choice),
                **request.origin,
            )
        session.sweep = sweep
        engine, shared = _sharing(engine, sweep)
        with (
            storage.mirrored(request.storage, sweep.opened, progress.note) as mirror,
            sweep.writing(mirror),
        ):
            now = code.collect(request.space.task, code.known_files(sweep.history))
            collected = provenance.collect(
                request.argv, material.identity, task.settings(material.task, _first_config(sweep)), now
            )
            changed = code.changes(sweep.history, now)
            images = _test_images(material)
            names = trust.named(request.space, request.origin["source"], request.storage)
            trust.remember(sweep.identity, names)
            begun = Opened(
                provenance=collected,
                storage=request.storage,
                test_images_crc32=zlib.crc32(images.encode()) if images else None,
                sharing=shared,
            )
            sweep.note(begun, durable=True)
            if change:
                change(sweep)
                session.changed = True
            if said := code.note(changed, code.mixing(sweep.history, sweep.space, now)):
                progress.note(said)
            sweep.complete()
            views.restore(sweep, progress.note)
            if images:
                views.put(sweep.paths.test_images, images, progress.note)
            with _searcher(sweep) as searcher:
                driver = Driver(
                    sweep,
                    stopping.make(sweep.space),
                    searcher,
                    request.time_limit_s,
                    gather=request.address not in ("inline", "local"),
                    tell=progress.note,
                    slots=engine.plan.concurrent,
                )
                if mirror:
                    mirror.on_taken_over(driver.end)
                opened = view(sweep, engine.line(driver)) if view else nullcontext()
                with opened, engine.exporting(sweep), shutdown.signals(driver) as caught:
                    engine.run(driver)
                    driver.tidy()
    shutdown.raise_outcome(sweep, driver, caught, mirror)
    return sweep


def _nothing_to_train(request: Request, material: Material, sweep: Sweep, view: View | None) -> bool:
    """End as a session that has trained the last trial does, where nothing is lacking; say whether so.

    What the storage lacks goes there; what it has beyond this folder may be new work.
    """
    if not sweep.complete_and_trained():
        return False
    with storage.mirrored(request.storage, sweep.opened, progress.note) as mirror, sweep.writing(mirror):
        if not sweep.complete_and_trained():
            return False
        last = sweep.history.session
        if request.storage != last.storage:
            sweep.note(Opened(provenance=last.provenance, storage=request.storage), durable=True)
        finished.tidy(sweep, progress.note)
        if images := _test_images(material):
            views.put(sweep.paths.test_images, images, progress.note)
    with view(sweep, "nothing is left to train") if view else nullcontext():
        shutdown.raise_outcome(sweep, None, [], mirror)
    return True


def _load_results() -> None:
    """Load what the results will be written with, which takes over a second."""
    importlib.import_module("tune_app.report.page")
    importlib.import_module("tune_app.report.terminal")


def left(request: Request) -> None:
    """Wait until the engine that trained has gone: it ends beside the writing of results."""
    if (
        request.address != "inline" and "tune_app.engines.ray.connection" in sys.modules
    ):  # else no Ray was started
        from tune_app.engines.ray import connection

        connection.left()


def estimate(request: Request, material: Material) -> Estimate:
    """Train one epoch of one replicate here, and see what it takes.

    Raises:
        ResourceError: what is asked for can never be met.
        TaskError: the task raised.
    """
    import torch

    from tune_app.training import checkpoint
    from tune_app.training.trial import Trial, Worker

    space_, gpus = request.space, torch.cuda.device_count()
    parts = sharding.parts(space_)
    planned = plan(space_.resources, os.cpu_count() or 1, gpus, space_.size(), parts)
    device = "cuda" if planned.gpus_per_trial else "cpu"
    choice = _measured(replace(request, address="inline"), material, planned)
    replicates = tuple(range(space_.seeds)) if choice.replicates == "stacked" else (0,)
    numerics = Numerics(choice.replicates, planned.threads, space_.precision)
    spec = TrialSpec.example(space_, replicates, numerics)
    with (
        task.calling(space_.task, f"one epoch of {canonical(spec.config)}"),
        closing(Trial(spec, Worker(material.splits, device))) as trial,
    ):
        epoch_s = sum(trial.step().durations_s) / len(replicates)
        sizes = [checkpoint.size(content) // len(replicates) for content in trial.contents()]
    at_a_time = min(planned.concurrent, space_.size() * (parts if choice.replicates == "looped" else 1))
    return Estimate(epoch_s, at_a_time, sizes[0], sizes[1], choice.line)


def _sharing(engine: Engine, sweep: Sweep) -> tuple[Engine, dict[str, Any] | None]:
    """The engine with as many trials a GPU as were measured to be of use; and what is recorded of it."""
    if not engine.share:
        return engine, None
    spec = TrialSpec.example(sweep.space, range(sweep.space.seeds), sweep.numerics)
    engine, found = engine.share(spec)
    progress.note(found.line)
    return engine, asdict(found)


def _existing(request: Request, material: Material) -> Sweep | None:
    """The run of that name, when it is the same sweep.

    Raises:
        RunError: it is another sweep, saying in what.
    """
    if request.name is None:
        return None
    if not is_run(request.runs_dir / request.name):
        if request.name not in storage.runs(request.storage):
            return None
        storage.fetch(str(request.storage), request.name, request.runs_dir, progress.note)
    sweep = Sweep.open(request.runs_dir / request.name)
    differences = _differences(sweep, request)
    if not sweep.data.same(material.identity):
        differences.append(f"data: {sweep.data.label()} recorded, {material.identity.label()} asked")
    if differences:
        raise RunError(
            f"--name {request.name}: a run of that name exists, of another sweep:\n  "
            + "\n  ".join(differences)
            + "\n  Give another --name, or leave it out to start a new numbered run."
        )
    return sweep


def _differences(sweep: Sweep, request: Request) -> list[str]:
    # Other machines may train the rest, and save it otherwise: none of that is part of what a sweep is.
    how = ("resources", "checkpoint_every", "keep", "max_failures")
    asked = request.space.model_copy(update={key: getattr(sweep.space, key) for key in how})
    return space.difference(sweep.space, asked)


def nothing_left(request: Request) -> Sweep | None:
    """The run of that name, where its space and the place of its data are the same and all of it is trained.

    Then its data need not be loaded.
    """
    if request.name is None or request.storage:
        return None
    folder = request.runs_dir / request.name
    if not is_run(folder):
        return None
    sweep = Sweep.open(folder)
    same = sweep.header.source == request.origin["source"] and not _differences(sweep, request)
    return sweep if same and finished.lacks_nothing(sweep, None) else None


@contextmanager
def _measuring(
    request: Request, material: Material, fixed: Numerics | None
) -> Iterator[Callable[[Plan], Choice]]:
    """How the replicates of a new sweep are trained, once it is planned; measured while Ray starts.

    A sweep whose numerics are ``fixed`` goes on as it began.
    """
    if fixed:
        yield lambda planned: Choice(fixed.replicates, "as before")
    elif request.address == "local":
        asked = _question(request, material, max(1, int(request.space.resources.cpus_per_trial or 1)), "any")
        if isinstance(asked, Choice):
            yield lambda planned: asked
            return
        with stacking_benchmark.started(asked) as found:
            yield lambda planned: _waited(found)
    else:
        yield lambda planned: _measured(request, material, planned)


def _waited(found: Callable[[], Choice]) -> Choice:
    with progress.waiting("measuring whether to stack replicates"):
        return found()


def _measured(request: Request, material: Material, planned: Plan) -> Choice:
    """Measured where the trials will run: in this process, or by a worker of a cluster."""
    device = "cuda" if planned.gpus_per_trial else "cpu"
    asked = _question(request, material, planned.threads, device)
    if isinstance(asked, Choice):
        return asked
    if request.address == "inline":
        return stacking_benchmark.answer(asked)
    from tune_app.engines.ray import tune_engine

    return _waited(lambda: tune_engine.measured(asked, planned))


def _question(request: Request, material: Material, threads: int, device: str) -> Question | Choice:
    space_ = request.space
    if space_.resources.gpus_per_trial == 0:
        device = "cpu"
    return stacking_benchmark.question(space_, material.task, material.splits, threads, device)


def _first_config(sweep: Sweep) -> dict[str, Any]:
    first = next(iter(sweep.history.configurations.values()), None)
    return dict(first.config) if first else dict(sweep.space.fixed)


@contextmanager
def _searcher(sweep: Sweep) -> Iterator[Searcher | None]:
    """The sampler of a sweep, caught up with its record; None where the space does not search."""
    if sweep.space.search.algorithm != "optuna":
        yield None
        return
    from tune_app.search.searcher import OptunaSearch

    first = space.parse(sweep.header.yaml, file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
    searcher = OptunaSearch(first, sweep.paths.study, sweep.name, progress.note)
    begun = any(configuration.attempts for configuration in sweep.history.configurations.values())
    with progress.waiting("catching up with the search") if begun else nullcontext():
        searcher.catch_up(event for _, event in read(sweep.paths.record))
    if searcher.departs_at is not None:
        progress.note(
            f"the sampler suggests other points now than when this run began, from sample "
            f"{searcher.departs_at} on: Optuna or this machine has changed. What is recorded stands."
        )
    try:
        yield searcher
    finally:
        searcher.close()


def _test_images(material: Material) -> str:
    """The text of ``test_images.csv``: which image each column of the test scores is; empty without images.

    Names and patients are unknown, and left empty, where the task did not take the data's test set as it is.
    """
    if material.splits is None:
        return ""
    test, dataset = material.splits.test, material.dataset
    unknown = ("",) * len(test.y)
    names, patients = unknown, unknown
    if dataset is not None and np.array_equal(dataset.test.y, test.y):
        names, patients = dataset.test.names, dataset.test.patients
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["index", "label", "name", "patient"])
    table.writerows(
        (i, int(label), name, patient)
        for i, (label, name, patient) in enumerate(zip(test.y, names, patients, strict=True))
    )
    return buffer.getvalue()
