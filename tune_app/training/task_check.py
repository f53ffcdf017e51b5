"""Whether a user's Task is what training takes it for: tried on one small batch, before anything is planned.

A Task is a classifier: tune-app makes accuracy and its kin of logits (B, C) and labels 0 to C - 1. Whatever
else is trained reports its own metrics, as a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.space import SearchSpace
from tune_app.tasks.isolation import set_numerics
from tune_app.tasks.task import Labelled, Splits, Task, calling, clip_norm, code, copied, make_scheduler

_FUNCTION = (
    "a Task is a classifier; for anything else, such as a regression, write a function (tune-app docs tasks)"
)
#: Inputs in the batch that is tried.
_INPUTS = 4
_PARTS = ("train", "val", "test")


def check(space: SearchSpace, task: Task, splits: Any, elsewhere: bool = False) -> None:
    """Hold a Task and its arrays against what training takes.

    Args:
        elsewhere: whether trials may run on GPUs or on other machines: then it counts what the methods give,
            not what they raise on this machine's CPU.

    Raises:
        TaskError: what is wrong, and the fix.
    """
    _check_splits(space.task, splits)
    try:
        _check_training(space, task, splits)
    except TaskError as error:
        if error.__cause__ is None or not elsewhere:
            raise


def _require(reference: str, holds: bool, text: str) -> None:
    if not holds:
        raise TaskError(f'task "{reference}": {text}')


def _check_splits(reference: str, splits: Any) -> None:
    given = isinstance(splits, Splits)
    _require(reference, given, f"splits() gave {_kind(splits)}: give a tune_app.tasks.task.Splits")
    for name in _PARTS:
        part = getattr(splits, name)
        rule = f"splits() gave {name}={_kind(part)}: all three, train, val and test, are a Labelled(x, y)"
        _require(reference, isinstance(part, Labelled), rule)
        _check_array(reference, f"{name}.x", part.x, "numpy.float32")
        _check_array(reference, f"{name}.y", part.y, "numpy.int64")
        _check_labels(reference, name, part.x, part.y)
        shape, wanted = part.x.shape[1:], splits.train.x.shape[1:]
        rule = f"an input of {name} has shape {shape}, but an input of train has {wanted}: make them equal"
        _require(reference, shape == wanted, rule)


def _check_array(reference: str, name: str, array: Any, dtype: str) -> None:
    of_torch = type(array).__module__.startswith("torch")
    how = f"{name}.numpy()" if of_torch else f"numpy.asarray({name})"
    rule = f"{name} is {_kind(array)}, but must be a numpy array: give {how}"
    _require(reference, isinstance(array, np.ndarray), rule)
    rule = f"{name} holds {array.dtype}, which is not a number: give {name}.astype({dtype})"
    _require(reference, array.dtype.kind in "biuf", rule)


def _check_labels(reference: str, name: str, x: Any, y: Any) -> None:
    flat = y.ndim == 2 and y.shape[1] == 1
    how = f"give {name}.y[:, 0]" if flat else _FUNCTION
    rule = f"{name}.y is of shape {y.shape}: labels are (N,), one class per input; {how}"
    _require(reference, y.ndim == 1, rule)
    if y.dtype.kind == "f":
        whole = bool(np.isfinite(y).all() and (y == np.floor(y)).all())
        how = f"give {name}.y.astype(numpy.int64)" if whole else _FUNCTION
        _require(reference, False, f"{name}.y is {y.dtype}: labels are whole numbers from 0; {how}")
    count = "no input" if x.ndim == 0 else f"{len(x):,} inputs"
    rule = f"{name} has {count} but {len(y):,} labels: give one label per input"
    _require(reference, x.ndim > 0 and len(x) == len(y), rule)
    _require(reference, len(y) > 0, f"{name} is empty: give it at least one input")
    rule = f"{name}.y holds {y.min()}: labels are whole numbers from 0 to C - 1"
    _require(reference, y.min() >= 0, rule)


def _check_training(space: SearchSpace, task: Task, splits: Splits) -> None:
    """Take one step with a few inputs, on the CPU, and look at all that comes out."""
    import torch
    from torch import Tensor, nn, optim
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from tune_app.training.device_data import DeviceSplits
    from tune_app.training.models import autocast

    reference, config = space.task, space.example()
    require, called = partial(_require, reference), partial(calling, reference)
    with called("batch_sizes()"), code(reference):
        sizes: Any = task.batch_sizes(copied(config))
    two = isinstance(sizes, Sequence) and len(sizes) == 2 and all(type(n) is int and n > 0 for n in sizes)
    require(two, f"batch_sizes() gave {sizes!r}: give two of type int, both above 0")
    count = min(_INPUTS, sizes[0], len(splits.train.y))
    bad = _not_finite(splits.train.x)
    index = slice(count) if bad is None else [*range(count - 1), bad]
    few = Splits(splits.train[index], splits.val[:count], splits.test[:count])
    with code(reference, with_torch=partial(set_numerics, torch.get_num_threads(), space.precision)):
        with called(f"moving inputs of {few.train.x.dtype} and labels to torch"):
            data = DeviceSplits.load(few, "cpu")
        with called("model()"):
            model = task.model(copied(config), tuple(data.train.x.shape[1:]))
        require(isinstance(model, nn.Module), f"model() gave {_kind(model)}: give a torch.nn.Module")
        with called("optimizer()"):
            optimizer = task.optimizer(copied(config), model.parameters())
        rule = f"optimizer() gave {_kind(optimizer)}: give a torch.optim.Optimizer"
        require(isinstance(optimizer, optim.Optimizer), rule)
        with called("clip_norm()"):
            clip_norm(task, config)
        with called("scheduler()"):
            scheduler = make_scheduler(task, config, optimizer, space.epochs)
        rule = "ReduceLROnPlateau needs a metric, but a schedule is stepped once per epoch without one"
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        require(not plateau, f"{rule}: give another, such as StepLR, or None")
        rule = f"scheduler() gave {_kind(scheduler)}: give a torch LRScheduler, or None"
        require(scheduler is None or isinstance(scheduler, LRScheduler), rule)
        with called("loss()"):
            loss = task.loss(copied(config))
        batch = data.buffers.gatherer(data.train.x, count)(torch.arange(count))
        model.train()
        with (
            called("the model, given a training batch,", _hint(few)),
            autocast(space.precision, batch.device),
        ):
            logits: Any = model(batch)
        rule = f"for a batch of {count} the model must give logits of shape ({count}, C), but it gave"
        require(isinstance(logits, Tensor), f"{rule} {_kind(logits)}")
        how = "; give x.unsqueeze(-1) for one log-odds per input" if logits.ndim == 1 else ""
        fits = logits.ndim == 2 and len(logits) == count and logits.shape[1] > 0
        require(fits, f"{rule} {tuple(logits.shape)}{how}")
        most = max(int(getattr(splits, name).y.max()) for name in _PARTS)
        classes = max(2, logits.shape[1])
        rule = f"the labels go up to {most}, but the model gives {logits.shape[1]} logits"
        require(most < classes, f"{rule}, for classes 0 to {classes - 1}: give {most + 1}")
        if space.precision == "bf16":
            logits = logits.float()
        with called("the loss of a batch", _hint(few)):
            losses: Any = loss(logits, data.train.y)
        rule = (
            f"for a batch of {count} the loss must give shape ({count},), one number per input, but it gave"
        )
        require(isinstance(losses, Tensor), f"{rule} {_kind(losses)}")
        shape = tuple(losses.shape)
        rule += f" shape {shape}; flatten it" if shape else ' one number for all; give it reduction="none"'
        require(shape == (count,), rule)
        finite = bad is None or bool(losses.isfinite().all())
        require(finite, f"train.x[{bad}] holds NaN or infinity: remove or replace such inputs")
        with called("one step of training"):
            losses.mean().backward()
            optimizer.step()
        if scheduler is not None:
            with called(f"the schedule, stepped once an epoch for {space.epochs:,} epochs,"):
                for _ in range(min(space.epochs, 10_000)):
                    scheduler.step()


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


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
