"""What was asked for: a new run, or another session of a run that exists; and the task and data of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tune_app import data, storage
from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.errors import DataError, RunError, TaskError
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep, trust
from tune_app.sweep.events import Source
from tune_app.tasks import task
from tune_app.tasks.isolation import gpus_possible
from tune_app.tasks.task import FunctionTask, Splits, Task
from tune_app.training import task_check


@dataclass(frozen=True)
class LoadedTask:
    """A task with its data, both checked against the space.

    ``splits`` are the arrays to train on, None for a function task; ``dataset`` is where they come from, None
    for a task that brings its own.
    """

    task: Task | FunctionTask
    identity: DataIdentity
    dataset: Dataset | None
    splits: Splits | None

    @property
    def size_bytes(self) -> int:
        """Size of the arrays that all workers share."""
        if self.splits is None:
            return 0
        parts = (self.splits.train, self.splits.val, self.splits.test)
        return sum(part.x.nbytes + part.y.nbytes for part in parts)

    def test_images(self) -> str:
        """The text of ``test_images.csv``, which says what image each column of the test scores belongs to.

        Empty without images. Names and patients are left empty where the task changed the data's test set.
        """
        if self.splits is None:
            return ""
        labels, dataset = self.splits.test.y, self.dataset
        names = patients = ("",) * len(labels)
        if dataset is not None and np.array_equal(dataset.test.y, labels):
            names, patients = dataset.test.names, dataset.test.patients
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["index", "label", "name", "patient"])
        table.writerows(zip(range(len(labels)), labels.tolist(), names, patients, strict=True))
        return text.getvalue()


@dataclass(frozen=True)
class Request:
    """What to train, on which data and where. The space is validated; the rest is as the user gave it."""

    space: SearchSpace
    #: ``phantom``, ``course`` or a folder; None for a task that brings its own data.
    data: str | None = None
    image_size: int | None = None
    split: str = "image"
    #: Whether to take all images of an image folder instead of a drawn subset.
    everything: bool = False
    name: str | None = None
    runs_dir: Path = Path("runs")
    address: str = "local"
    argv: Sequence[str] = ()
    time_limit_s: float | None = None
    #: The name of the run whose best configurations this one confirms.
    confirms: str | None = None
    #: Where the run is mirrored, as `storage.normalized` returns it; None for nowhere.
    storage: str | None = None
    wait_for_gpus: int = 0
    wait_s: float = 1800.0

    @property
    def source(self) -> Source:
        """Where the data is, such that a later session finds it from any working directory."""
        exists = self.data is not None and Path(self.data).exists()
        path = str(Path(str(self.data)).resolve()) if exists else None
        return Source(self.data, path, self.image_size, self.split, self.everything)

    @property
    def on_this_machine(self) -> bool:
        """Whether every trial runs on this machine."""
        return self.address in ("inline", "local", "warm")

    def load(self, sweep: Sweep | None = None) -> LoadedTask:
        """Load the task and the data, and check them against the space, and against ``sweep``.

        Raises:
            SpaceError, TaskError: the space, or the task, cannot be used.
            DataError: the data cannot be used, or is not the data that ``sweep`` was trained on.
        """
        loaded = task.load(self.space.task)
        task.check(self.space, loaded)
        if self.space.search.algorithm == "optuna":
            from tune_app.search import sampler

            sampler.make_sampler(self.space)
        if isinstance(loaded, Task):
            found = self._with_data(loaded)
        elif self.data is None:
            found = LoadedTask(loaded, NO_DATA, None, None)
        else:
            raise TaskError(
                f"--data {self.data}: the task {self.space.task} is a function, which takes no data. "
                "Leave out --data."
            )
        if sweep and not sweep.data.same(found.identity):
            raise DataError(
                f"{sweep.name} was trained on {sweep.data.label()},\n"
                f"  but the data is now {found.identity.label()}.\n"
                "  Give the same data with --data, or start a new run."
            )
        return found

    def _with_data(self, loaded: Task) -> LoadedTask:
        space, builtin = self.space, self.space.task in task.BUILTIN
        source = "phantom" if self.data is None and builtin else self.data
        dataset = None
        if source is not None:
            dataset = data.load(
                source, image_size=self.image_size, split=self.split, everything=self.everything
            )
        with task.calling(space.task, "splits()"), task.code(space.task):
            splits = loaded.splits(dataset)
        if not builtin:
            gpus = space.resources.gpus_per_trial != 0 and gpus_possible()
            task_check.check(space, loaded, splits, gpus or not self.on_this_machine)
        return LoadedTask(loaded, dataset.identity if dataset else task.identify(splits), dataset, splits)


def request_for(sweep: Sweep, **options: Any) -> Request:
    """The request for another session of a run: its recorded space, and its data from where that was found.

    ``options`` are fields of Request, and two more. ``resources`` replaces keys of the space's resources,
    None keeping a key as it is; ``trust`` says that the code, data and storage which the run names may be
    used though the run may come from a stranger. ``data`` names the place to which the same data has moved.
    Without ``storage`` the recorded one is used.

    Raises:
        TrustError: the run names code, data or a storage that this user has not named for it.
        DataError: the data is no longer where it was.
    """
    new_data, new_storage = options.pop("data", None), options.pop("storage", None)
    source, recorded = sweep.header.source, sweep.history.session.storage
    if source is None:
        raise RunError(f"{sweep.paths.record}: does not say where the data is, so the run cannot be resumed.")
    names = trust.named(
        sweep.space,
        source if new_data is None else None,
        recorded if new_storage is None else None,
    )
    trust.require(sweep.paths.folder, sweep.identity, names, options.pop("trust", False))
    path, place = source.path, new_data
    if place is None:
        place = path if source.data and path and not Path(source.data).exists() else source.data
    if path is not None and place == path and not Path(path).exists():
        raise DataError(
            f"{path}: the data of {sweep.name} is no longer there. Say where it is now with --data."
        )
    asked = options.pop("resources", None) or {}
    changed = {key: value for key, value in asked.items() if value is not None}
    resources = spaces.Resources.model_validate(sweep.space.resources.model_dump() | changed)
    mirror = new_storage or recorded
    return Request(
        sweep.space.model_copy(update={"resources": resources}),
        place,
        source.image_size,
        source.split,
        source.everything,
        name=sweep.name,
        runs_dir=sweep.paths.folder.parent,
        storage=None if mirror == storage.NONE else mirror,
        **options,
    )
