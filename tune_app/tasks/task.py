"""What to train: a Task gives data, model, loss, optimiser and schedule as functions of a configuration.

Nothing here imports torch: the driver checks a task's parameters and hands out its data, and should
not wait seconds for a library that only the trials need.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tune_app.data import Dataset
from tune_app.data.identity import DataIdentity
from tune_app.errors import TaskError, Terminated, describe, nearest, own_line
from tune_app.space import Config, SearchSpace, Value
from tune_app.space.reader import Path
from tune_app.tasks import task_folder
from tune_app.tasks.isolation import ProcessState, TaskExited
from tune_app.tasks.task_folder import NameTaken

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler

#: Logits (B, C) and labels (B,) to losses (B,).
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

#: What every Task reports once an epoch; binary tasks also the last three.
METRICS = (
    "train_accuracy",
    "train_loss",
    "val_accuracy",
    "val_loss",
    "val_auc",
    "val_sensitivity",
    "val_specificity",
)

#: The tasks that come with tune-app, by name.
BUILTIN = {"pneumonia": "tune_app.tasks.pneumonia:Pneumonia"}


@dataclass(frozen=True)
class Labelled:
    """Inputs ``x`` (N, ...) and labels ``y`` (N,) of one split."""

    x: NDArray[Any]
    y: NDArray[np.int64]

    def __getitem__(self, index: slice | list[int]) -> Labelled:
        return Labelled(self.x[index], self.y[index])


@dataclass(frozen=True)
class Splits:
    """The arrays of a task. Only ``Replicates.test`` reads ``test``, once, at the end of a trial."""

    train: Labelled
    val: Labelled
    test: Labelled


@dataclass(frozen=True)
class Parameter:
    """A parameter that a task takes: its default, the rule for its values, and what it means."""

    default: Value
    rule: str
    accepts: Callable[[Value], bool]
    meaning: str


@runtime_checkable
class Task(Protocol):
    """A PyTorch training loop, taken apart into functions of a configuration.

    ``parameters`` declares what a configuration may hold; a task that leaves it out takes any names. A method
    ``clip_norm(config)`` may give the norm to which a replicate's gradients are clipped before each step.
    """

    def splits(self, dataset: Dataset | None) -> Splits:
        """Training, validation and test arrays; ``dataset`` is None when no ``--data`` was given."""

    def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
        """A new model, inputs (B, *shape) to logits (B, C); C = 1 for a binary log-odds."""

    def loss(self, config: Config) -> Loss:
        """Logits (B, C) and labels (B,) to losses (B,)."""

    def optimizer(self, config: Config, params: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """An optimiser over a model's parameters."""

    def scheduler(self, config: Config, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """A schedule stepped once an epoch, or None.

        A schedule that depends on the number of epochs (cosine, OneCycle) takes it as a third argument named
        ``epochs``; when a sweep is extended to more epochs, its trials restart from epoch 1.
        """

    def batch_sizes(self, config: Config) -> tuple[int, int]:
        """Inputs in a training batch, and in a batch of validation or test."""


_METHODS = ("splits", "model", "loss", "optimizer", "scheduler", "batch_sizes")


@dataclass(frozen=True)
class Context:
    """What a function task may know beside its configuration.

    ``seed`` is this replicate's own, derived from the sweep's seed and the replicate's number;
    ``epochs`` is how many the sweep wants: a generator must yield as many, and is asked for no more.
    """

    seed: int
    replicate: int
    epochs: int
    device: str


#: ``module:function``: yields the metrics of one epoch at a time.
FunctionTask = Callable[[Config, Context], Iterator[Mapping[str, float]]]


def load(reference: str) -> Task | FunctionTask:
    """The task called ``reference``: a built-in name, or ``module:attribute`` of the user's.

    A module is found in the working directory, or as Python finds it. The attribute is a generator
    function ``(config, context)``, a Task, or a class of one that is called without arguments.

    Raises:
        TaskError: no such task, module or attribute, or it is neither of the three.
    """
    module_name, _, attribute = BUILTIN.get(reference, reference).partition(":")
    if not module_name or not attribute:
        raise TaskError(
            f'unknown task "{reference}".{nearest(reference, BUILTIN)}\n'
            f"  a task is one of: {', '.join(BUILTIN)}; or your own module:attribute (looked for here first)"
        )
    module = _import(reference, module_name)
    try:
        found = getattr(module, attribute)
    except AttributeError as error:
        raise TaskError(
            f'task "{reference}": {module.__file__ or module_name} has no "{attribute}".'
            f"{nearest(attribute, vars(module))}"
        ) from error
    if inspect.isclass(found):
        with (
            calling(reference, f"{attribute}()", "a class of a task is called without arguments"),
            code(reference),
        ):
            found = found()
    return _as_task(reference, found)


def _import(reference: str, name: str) -> ModuleType:
    folder = task_folder.current()
    try:
        return folder.load(name)
    except ModuleNotFoundError as error:
        raise TaskError(
            f'task "{reference}": no module called "{error.name}" in {folder.path} or among the installed '
            "packages."
        ) from error
    except NameTaken as error:
        raise TaskError(f'task "{reference}": {error}') from error
    except Exception as error:
        hint = folder.hidden() if isinstance(error, ImportError | AttributeError) else ""
        if isinstance(error, TaskExited):
            hint = 'put code that runs only as a program below `if __name__ == "__main__":`'
        raise _raised(reference, f"importing {name}", error, hint) from error


def code(reference: str, seed: int = 0, with_torch: Callable[[], None] | None = None) -> ProcessState:
    """Where code of a task that has been loaded is to run: see `TaskFolder.code`."""
    module_name = BUILTIN.get(reference, reference).partition(":")[0]
    return task_folder.current().code(module_name, seed, with_torch)


def _as_task(reference: str, found: Any) -> Task | FunctionTask:
    if isinstance(found, Task):
        return found
    if inspect.isgeneratorfunction(found):
        taken = inspect.signature(found)
        if len(taken.parameters) != 2:
            raise TaskError(f'task "{reference}" takes {taken}; it must take (config, context).')
        function: FunctionTask = found
        return function
    lacking = [name for name in _METHODS if not hasattr(found, name)]
    raise TaskError(
        f'task "{reference}": is neither a generator function (config, context) that yields metrics once an '
        f"epoch, nor a Task: it lacks {', '.join(lacking)}."
    )


@contextmanager
def calling(reference: str, what: str, hint: str = "") -> Iterator[None]:
    """Turn whatever the user's code raises into a `TaskError` in one line, with the line of their file.

    The error reads ``task "reference": what raised ValueError: ...``, and ``hint`` may name the cause.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, TaskError | Terminated) and not isinstance(error, TaskExited):
            raise
        raise _raised(reference, what, error, hint) from error


def _raised(reference: str, what: str, error: Exception | SystemExit, hint: str) -> TaskError:
    exited = TaskExited(error) if isinstance(error, SystemExit) else error
    came = exited.what if isinstance(exited, TaskExited) else f"raised {describe(error)}"
    at = own_line(error)
    text = f'task "{reference}": {what} {came}{at and f" ({at})"}'
    return TaskError(text + (f"\n  {hint}" if hint else ""))


def parameters(task: Task | FunctionTask) -> Mapping[str, Parameter] | None:
    """What a task declares of its parameters, or None where it takes any."""
    return getattr(task, "parameters", None)


def check(space: SearchSpace, task: Task | FunctionTask) -> None:
    """Hold the metrics and every parameter of a space against what its task declares.

    Raises:
        SpaceError: an unknown metric or parameter, a value that the task cannot take, or a key that is not
            for a function task, at its line.
    """
    if not isinstance(task, Task):
        for key, asked, of_tasks in (
            ("replicates", space.replicates, space.replicates != "auto"),
            ("precision", space.precision, space.precision != "float32"),
            ("resources.gpus_per_trial", "auto", space.resources.gpus_per_trial == "auto"),
        ):
            if of_tasks:
                rule = f"{asked} is only for tasks that tune-app trains"
                fix = "remove it, or write a Task"
                raise space.error(key, f"{rule}, and {space.task} is a function: {fix}")
    for index, metric in enumerate(space.metrics):
        if isinstance(task, Task) and metric.name not in METRICS:
            raise space.error(
                ("metric", "name") if len(space.metrics) == 1 else ("metric", index, "name"),
                f'the task {space.task} has no metric "{metric.name}".'
                f"{nearest(metric.name, METRICS)}\n"
                f"  it reports: {', '.join(METRICS)}",
            )
    declared = parameters(task)
    if declared is None:
        return
    for path, name, values in _values(space):
        if name not in declared:
            raise space.error(
                path,
                f'the task {space.task} has no parameter "{name}".{nearest(name, declared)}\n'
                f"  it takes: {', '.join(declared)}",
            )
        for value in values:
            with calling(space.task, f"the check of {name}={value!r}"), code(space.task):
                accepted = declared[name].accepts(value)
            if not accepted:
                raise space.error(path, f"{value!r} is not {declared[name].rule}")


def _values(space: SearchSpace) -> Iterator[tuple[Path, str, list[Value]]]:
    """Each key of a space with the parameter's name and its values, or the ends of its range."""
    for name, sampler in space.space.items():
        yield ("space", name), name, list(sampler.extremes())
    for name, value in space.fixed.items():
        yield ("fixed", name), name, [value]
    for index, point in enumerate(space.configs):
        for name, value in point.items():
            yield ("configs", index, name), name, [value]


def reads_epochs(task: Task | FunctionTask) -> bool:
    """Whether training depends on the number of epochs, so that with more epochs it must restart."""
    return not isinstance(task, Task) or "epochs" in inspect.signature(task.scheduler).parameters


def make_scheduler(
    task: Task, config: Config, optimizer: torch.optim.Optimizer, epochs: int
) -> LRScheduler | None:
    """A task's schedule, which is given the number of epochs if it takes it."""
    more = {"epochs": epochs} if reads_epochs(task) else {}
    return task.scheduler(copied(config), optimizer, **more)


def copied(config: Config) -> dict[str, Any]:
    """A copy of a configuration for one call of a task, which may change it.

    Dotted names are also there as nested mappings, but for one that would take the place of a parameter.

    >>> copied({"lr": 3e-5, "net.depth": 2})
    {'lr': 3e-05, 'net.depth': 2, 'net': {'depth': 2}}
    """
    found: dict[str, Any] = copy.deepcopy(dict(config))
    for name in config:
        *parents, last = name.split(".")
        above = [".".join(parents[: depth + 1]) for depth in range(len(parents))]
        if not all((*parents, last)) or any(each in config for each in above):
            continue
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = copy.deepcopy(config[name])
    return found


def clip_norm(task: Task, config: Config) -> float | None:
    """The norm to which a task clips all the gradients of a replicate together; None for no clipping.

    Raises:
        TaskError: it is no number above 0.
    """
    asked = getattr(task, "clip_norm", None)
    norm = asked(copied(config)) if asked else None
    if norm is not None and not norm > 0:
        raise TaskError(f"clip_norm gave {norm!r}; it must be a number above 0, or None for no clipping")
    return norm


def settings(task: Task | FunctionTask, config: Config) -> dict[str, Value]:
    """A configuration with the task's defaults filled in: everything that a settings table shows."""
    declared = parameters(task) or {}
    return {**{name: parameter.default for name, parameter in declared.items()}, **config}


def identify(splits: Splits) -> DataIdentity:
    """The identity of arrays that a task brings by itself: SHA-256 over types, shapes and bytes."""
    digest, parts = hashlib.sha256(), vars(splits)
    for part in parts.values():
        for array in (part.x, part.y):
            little = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"{little.dtype.str}{little.shape}".encode())
            digest.update(np.ascontiguousarray(little).data)
    counts = {name: len(part.y) for name, part in parts.items()}
    return DataIdentity("the task's own", "arrays", digest.hexdigest(), counts=counts)
