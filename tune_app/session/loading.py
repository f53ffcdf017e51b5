"""The task and the data of a request, loaded and checked before anything is written."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from tune_app import data, stopping
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.errors import DataError, TaskError
from tune_app.session.request import Request
from tune_app.sweep import Sweep
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
        buffer = io.StringIO()
        table = csv.writer(buffer, lineterminator="\n")
        table.writerow(["index", "label", "name", "patient"])
        table.writerows(
            (i, int(label), name, patient)
            for i, (label, name, patient) in enumerate(zip(labels, names, patients, strict=True))
        )
        return buffer.getvalue()


def load(request: Request, sweep: Sweep | None = None) -> LoadedTask:
    """Load the task and the data of a request and check them against its space, and against ``sweep``.

    Raises:
        SpaceError, TaskError: the space, or the task, cannot be used.
        DataError: the data cannot be used, or is not the data that ``sweep`` was trained on.
    """
    loaded = _load(request)
    if sweep and not sweep.data.same(loaded.identity):
        raise DataError(
            f"{sweep.name} was trained on {sweep.data.label()},\n"
            f"  but the data is now {loaded.identity.label()}.\n"
            "  Give the same data with --data, or start a new run."
        )
    return loaded


def _load(request: Request) -> LoadedTask:
    space = request.space
    loaded = task.load(space.task)
    task.check(space, loaded)
    stopping.make_stopper(space)
    if space.search.algorithm == "optuna":
        from tune_app.search import sampler

        sampler.make_sampler(space)
    if not isinstance(loaded, Task):
        if request.data is not None:
            raise TaskError(
                f"--data {request.data}: the task {space.task} is a function, which takes no data. "
                "Leave out --data."
            )
        return LoadedTask(loaded, NO_DATA, None, None)
    builtin = space.task in task.BUILTIN
    source = "phantom" if request.data is None and builtin else request.data
    dataset = None
    if source is not None:
        dataset = data.load(
            source, image_size=request.image_size, split=request.split, everything=request.everything
        )
    with task.calling(space.task, "splits()"), task.code(space.task):
        splits = loaded.splits(dataset)
    if not builtin:
        gpus = space.resources.gpus_per_trial != 0 and gpus_possible()
        task_check.check(space, loaded, splits, gpus or not request.on_this_machine)
    return LoadedTask(loaded, dataset.identity if dataset else task.identify(splits), dataset, splits)
