"""Whether a user's Task is what training takes it for: tried on one small batch, before anything is planned.

A Task is a classifier: tune-app makes accuracy and its kin of logits (B, C) and labels 0 to C - 1. Whatever
else is trained reports its own metrics, as a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.space import Config, SearchSpace
from tune_app.tasks.isolation import set_numerics
from tune_app.tasks.task import Labelled, Splits, Task, calling, clip_norm, code, copied, make_scheduler

if TYPE_CHECKING:
    from torch import Tensor, nn

_FUNCTION = (
    "a Task is a classifier; for anything else, such as a regression, write a function (docs/tasks.md)"
)
#: Inputs in the batch that is tried.
_INPUTS = 4


def check(space: SearchSpace, task: Task, splits: Any, elsewhere: bool = False) -> None:
    """Hold a Task and its arrays against what training takes.

    Args:
        elsewhere: whether trials may run on GPUs or on other machines: then it counts what the methods give,
            not what they raise on this machine's CPU.

    Raises:
        TaskError: what is wrong, and the fix.
    """
    check_splits(space.task, splits)
    try:
        check_training(space, task, splits)
    except TaskError as error:
        if error.__cause__ is None or not elsewhere:
            raise


def check_splits(reference: str, splits: Any) -> Splits:
    """Hold what ``splits`` gave against what training takes; returns it.

    Raises:
        TaskError: a part is missing or no pair of arrays, or inputs or labels are of a wrong type or shape.
    """
    if not isinstance(splits, Splits):
        raise _fault(reference, f"splits() gave {_kind(splits)}: give a tune_app.tasks.task.Splits")
    shapes = {}
    for name in ("train", "val", "test"):
        part = getattr(splits, name)
        if not isinstance(part, Labelled):
            rule = "all three, train, val and test, are a Labelled(x, y)"
            raise _fault(reference, f"splits() gave {name}={_kind(part)}: {rule}")
        for letter, array in (("x", part.x), ("y", part.y)):
            _check_array(reference, f"{name}.{letter}", array)
        _check_labels(reference, name, part)
        shapes[name] = part.x.shape[1:]
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            rule = f"one input of {name} is of shape {shape}, and one of train of {shapes['train']}"
            raise _fault(reference, f"{rule}: make them alike")
    return splits


def _check_array(reference: str, name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        rule = f"{name} is {_kind(array)}, and arrays of numpy are wanted"
        how = f"{name}.numpy()" if type(array).__module__.startswith("torch") else f"numpy.asarray({name})"
        raise _fault(reference, f"{rule}: give {how}")
    if array.dtype.kind not in "biuf":
        wanted = "numpy.int64" if name.endswith("y") else "numpy.float32"
        rule = f"{name} holds {array.dtype}, which is no number"
        raise _fault(reference, f"{rule}: give {name}.astype({wanted})")


def _check_labels(reference: str, name: str, part: Labelled) -> None:
    x, y = part.x, part.y
    if y.ndim != 1:
        rule = f"{name}.y is of shape {y.shape}: labels are (N,), one class an input"
        flat = y.ndim == 2 and y.shape[1] == 1
        raise _fault(reference, f"{rule}; give {name}.y[:, 0]" if flat else f"{rule}; {_FUNCTION}")
    if y.dtype.kind == "f":
        whole = bool(np.isfinite(y).all() and (y == np.floor(y)).all())
        rule = f"{name}.y is {y.dtype}: labels are whole numbers from 0"
        raise _fault(
            reference, f"{rule}; give {name}.y.astype(numpy.int64)" if whole else f"{rule}; {_FUNCTION}"
        )
    if x.ndim == 0 or len(x) != len(y):
        count = "no input" if x.ndim == 0 else f"{len(x):,} inputs"
        raise _fault(reference, f"{name} has {count} and {len(y):,} labels: give one label an input")
    if not len(y):
        raise _fault(reference, f"{name} is empty: give it at least one input")
    if y.min() < 0:
        raise _fault(reference, f"{name}.y holds {y.min()}: labels are whole numbers from 0 to C - 1")


def check_training(space: SearchSpace, task: Task, splits: Splits) -> None:
    """Take one step with a few inputs, on the CPU, and look at all that comes out.

    Raises:
        TaskError: a method raised, or gave what training cannot use.
    """
    import torch

    from tune_app.training.device_data import DeviceSplits
    from tune_app.training.models import autocast

    reference, config = space.task, space.example()
    sizes = _batch_sizes(reference, task, config)
    count = min(_INPUTS, sizes[0], len(splits.train.y))
    bad = _not_finite(splits.train.x)
    index = np.arange(count)
    if bad is not None:
        index[-1] = bad
    few = Splits(
        *(Labelled(part.x[:count], part.y[:count]) for part in (splits.train, splits.val, splits.test))
    )
    few = Splits(Labelled(splits.train.x[index], splits.train.y[index]), few.val, few.test)
    with code(reference, with_torch=partial(set_numerics, torch.get_num_threads(), space.precision)):
        with calling(reference, f"moving inputs of {few.train.x.dtype} and labels to torch"):
            data = DeviceSplits.load(few, "cpu")
        with calling(reference, "model()"):
            model = task.model(copied(config), tuple(data.train.x.shape[1:]))
        _is_module(reference, model)
        optimizer = _optimizer(reference, task, config, model)
        with calling(reference, "clip_norm()"):
            clip_norm(task, config)
        with calling(reference, "scheduler()"):
            scheduler = make_scheduler(task, config, optimizer, space.epochs)
        _is_schedule(reference, scheduler)
        with calling(reference, "loss()"):
            loss = task.loss(copied(config))
        batch = data.buffers.gatherer(data.train.x, count)(_range(count))
        model.train()
        with (
            calling(reference, "the model, given a training batch,", _hint(few)),
            autocast(space.precision, batch.device),
        ):
            logits = model(batch)
        _check_logits(reference, logits, count, splits)
        if space.precision == "bf16":
            logits = logits.float()
        with calling(reference, "the loss of a batch", _hint(few)):
            losses = loss(logits, data.train.y)
        _check_losses(reference, losses, count)
        if bad is not None and not losses.isfinite().all():
            raise _fault(reference, f"train.x[{bad}] holds NaN or infinity: remove or replace such inputs")
        with calling(reference, "one step of training"):
            losses.mean().backward()
            optimizer.step()
        if scheduler is not None:
            with calling(reference, f"the schedule, stepped once an epoch for {space.epochs:,} epochs,"):
                for _ in range(min(space.epochs, 10_000)):
                    scheduler.step()


def _batch_sizes(reference: str, task: Task, config: Config) -> tuple[int, int]:
    with calling(reference, "batch_sizes()"), code(reference):
        sizes = task.batch_sizes(copied(config))
    fine = isinstance(sizes, Sequence) and len(sizes) == 2
    if not fine or not all(type(n) is int and n > 0 for n in sizes):
        raise _fault(reference, f"batch_sizes() gave {sizes!r}: give two of int, both above 0")
    return sizes[0], sizes[1]


def _is_module(reference: str, model: Any) -> None:
    from torch import nn

    if not isinstance(model, nn.Module):
        raise _fault(reference, f"model() gave {_kind(model)}: give a torch.nn.Module")


def _optimizer(reference: str, task: Task, config: Config, model: nn.Module) -> Any:
    from torch import optim

    with calling(reference, "optimizer()"):
        optimizer = task.optimizer(copied(config), model.parameters())
    if not isinstance(optimizer, optim.Optimizer):
        raise _fault(reference, f"optimizer() gave {_kind(optimizer)}: give a torch.optim.Optimizer")
    return optimizer


def _is_schedule(reference: str, scheduler: Any) -> None:
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    if isinstance(scheduler, ReduceLROnPlateau):
        rule = "a schedule is stepped once an epoch and sees no metric, which ReduceLROnPlateau waits for"
        raise _fault(reference, f"{rule}: give another, such as StepLR, or None")
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        raise _fault(reference, f"scheduler() gave {_kind(scheduler)}: give a torch LRScheduler, or None")


def _check_logits(reference: str, logits: Any, count: int, splits: Splits) -> None:
    from torch import Tensor

    rule = f"for a batch of {count} the model gives logits of shape ({count}, C)"
    if not isinstance(logits, Tensor):
        raise _fault(reference, f"{rule}, and it gave {_kind(logits)}")
    if logits.ndim != 2 or len(logits) != count or not logits.shape[1]:
        how = "; give x.unsqueeze(-1) for one log-odds an input" if logits.ndim == 1 else ""
        raise _fault(reference, f"{rule}, and it gave {tuple(logits.shape)}{how}")
    most = max(int(part.y.max()) for part in (splits.train, splits.val, splits.test))
    classes = max(2, logits.shape[1])
    if most >= classes:
        rule = f"the labels go up to {most}, and the model gives {logits.shape[1]} logits"
        raise _fault(reference, f"{rule}, for classes 0 to {classes - 1}: give {most + 1}")


def _check_losses(reference: str, losses: Any, count: int) -> None:
    from torch import Tensor

    rule = f"for a batch of {count} the loss gives ({count},), one number an input"
    if not isinstance(losses, Tensor):
        raise _fault(reference, f"{rule}, and it gave {_kind(losses)}")
    if tuple(losses.shape) != (count,):
        shape = tuple(losses.shape)
        how = '; give it reduction="none"' if not shape else "; flatten it"
        raise _fault(reference, f"{rule}, and it gave {f'shape {shape}' if shape else 'one for all'}{how}")


def _not_finite(x: np.ndarray[Any, Any]) -> int | None:
    """The first input that holds NaN or infinity; looks at each only where there is one."""
    if x.dtype.kind != "f" or not x.size or np.isfinite(x.min() + x.max()):
        return None
    return next((row for row, each in enumerate(x) if not np.isfinite(each).all()), None)


def _hint(few: Splits) -> str:
    """What most often is wrong where torch dislikes the type of inputs or labels."""
    hints = []
    if few.train.x.dtype.kind in "iub":
        hints.append("inputs of whole numbers reach the model as float32: an Embedding takes x.long()")
    elif few.train.x.dtype != np.float32:
        hints.append(f"inputs are {few.train.x.dtype} and weights float32: give x.astype(numpy.float32)")
    if few.train.y.dtype != np.int64:
        hints.append(f"labels are {few.train.y.dtype}: torch's losses take y.astype(numpy.int64)")
    return "; ".join(hints)


def _range(count: int) -> Tensor:
    import torch

    return torch.arange(count)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _fault(reference: str, text: str) -> TaskError:
    return TaskError(f'task "{reference}": {text}')
