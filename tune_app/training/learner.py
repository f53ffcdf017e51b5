"""One replicate of a configuration, trained an epoch at a time.

Every random draw is derived from (seed, replicate, epoch) alone, so a replicate has the same results whether
it is trained alone, beside others, or after a resume.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tune_app.stats import metrics
from tune_app.sweep.evaluation import improved_value, usable
from tune_app.sweep.trial_spec import Direction, TrialSpec
from tune_app.tasks.isolation import ProcessState, seed_generators
from tune_app.tasks.task import Labelled, Loss, Splits, Task, clip_norm, copied, make_scheduler
from tune_app.training import compiler
from tune_app.training.replicates import ReplicateTest
from tune_app.training.seeds import BATCH_ORDER, INITIALISATION, NOISE, derive_seed

compiler.load_only_when_used()  # before the first optimiser is made

#: Inputs (..., B, *shape) and labels (..., B) to losses (..., B) and logits (..., B, C).
Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Buffers:
    """Memory for batches, which is reused: on a CPU, allocating pages costs more than filling them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[torch.dtype, torch.Size], Tensor] = {}

    def gatherer(self, x: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
        """A function from indices to a batch of ``x`` for a model; the next call overwrites the batch.

        Args:
            x: (N, ...), integers or floating; integers become float32.
            rows: the size of the largest batch. Indices (B,) give (B, ...), and (R, B) give (R, B, ...).
        """
        shape = x.shape[1:]
        picked = self._room(x, rows, x.dtype)
        batch = picked if x.is_floating_point() else self._room(x, rows, torch.float32)

        def gather(index: Tensor) -> Tensor:
            n = index.numel()
            torch.index_select(x, 0, index.reshape(-1), out=picked[:n])
            if batch is not picked:
                batch[:n].copy_(picked[:n])
            return batch[:n].view(*index.shape, *shape)

        return gather

    def _room(self, like: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        key = (dtype, like.shape[1:])
        kept = self._kept.get(key)
        if kept is None or len(kept) < rows:
            kept = self._kept[key] = like.new_empty((rows, *like.shape[1:]), dtype=dtype)
        return kept


@dataclass(frozen=True)
class DeviceSplit:
    """Inputs ``x`` (N, ...) and labels ``y`` (N,) on the training device."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class DeviceSplits:
    """A task's arrays, put on a device once and shared by every trial of a process."""

    train: DeviceSplit
    val: DeviceSplit
    test: DeviceSplit
    buffers: Buffers = field(default_factory=Buffers, compare=False)

    @classmethod
    def load(cls, splits: Splits, device: str) -> DeviceSplits:
        """Copy the arrays to ``device``; integer pixels stay as they are until a batch is gathered."""

        def put(part: Labelled) -> DeviceSplit:
            return DeviceSplit(torch.tensor(part.x, device=device), torch.tensor(part.y, device=device))

        return cls(put(splits.train), put(splits.val), put(splits.test))


@dataclass
class Best:
    """The weights of a replicate's best epoch so far; of equal epochs the first."""

    value: float = float("nan")
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def offer(
        self,
        keep: Direction | None,
        found: Mapping[str, float],
        epoch: int,
        weights: Callable[[], dict[str, Tensor]],
    ) -> None:
        """Take the weights of an epoch if its metrics ``found`` are better, by ``keep`` (None: never)."""
        if keep is None:
            return
        value = improved_value(found, keep, self.value if self.weights else None)
        if value is not None:
            self.value, self.epoch, self.weights = value, epoch, weights()


class Learner:
    """One replicate: a model, its optimiser and schedule, at some epoch."""

    def __init__(self, spec: TrialSpec, task: Task, data: DeviceSplits, replicate: int) -> None:
        settings, config = spec.settings, spec.config
        self._seed, self._replicate, self._data = settings.seed, replicate, data
        self._keep_best, self._precision = settings.keep_best, settings.numerics.precision
        self._state = ProcessState(derive_seed(self._seed, INITIALISATION, replicate))
        with self._state:
            self._model = make_model(spec, task, data, replicate)
            self._batch_size, self._eval_batch_size = task.batch_sizes(copied(config))
            self._loss, self._clip = task.loss(copied(config)), clip_norm(task, config)
            self._optimizer = task.optimizer(copied(config), self._model.parameters())
            self._scheduler = make_scheduler(task, config, self._optimizer, settings.epochs)
        self._best = Best()
        self.epoch = 0
        self.diverged = False

    @property
    def evaluated(self) -> int:
        """The epoch whose weights the test set would see."""
        return self._best.epoch if self._keep_best else self.epoch

    def step(self) -> dict[str, float]:
        """Train one epoch; returns ``train_`` metrics (running, over the epoch) and ``val_`` metrics.

        When a loss cannot be averaged (``usable``) or a parameter is not finite the learner freezes:
        ``diverged`` is set, and this and every later call return no metrics.
        """
        if self.diverged:
            return {}
        with self._drawing():
            return self._step()

    def _drawing(self) -> ProcessState:
        """Random draws depend on the epoch alone, so a resumed replicate draws the same."""
        return self._state.reseed(derive_seed(self._seed, NOISE, self._replicate, self.epoch))

    def _step(self) -> dict[str, float]:
        found = self._train()
        self.epoch += 1
        if not (usable(found["train_loss"]) and all_finite(p[None] for p in self._model.parameters()).item()):
            self.diverged = True
            return {}
        scores, loss = self._score(self._model, self._data.val)
        if not usable(loss):
            self.diverged = True
            return {}
        found |= metrics.evaluate("val", scores, loss, self._data.val.y.cpu().numpy())
        self._best.offer(self._keep_best, found, self.epoch, lambda: clone(self._model.state_dict()))
        return found

    def test(self) -> ReplicateTest:
        """The evaluated epoch's metrics and scores on the test set."""
        model = self._model
        if self._keep_best:
            model = copy.deepcopy(model)
            model.load_state_dict(self._best.weights)
        with self._drawing():
            score, loss = self._score(model, self._data.test)
        return ReplicateTest(metrics.evaluate("test", score, loss, self._data.test.y.cpu().numpy()), score)

    def weights(self) -> dict[str, Tensor]:
        """The weights of the evaluated epoch, on the CPU."""
        weights = self._best.weights if self._keep_best else self._model.state_dict()
        return {name: tensor.detach().cpu() for name, tensor in weights.items()}

    def _train(self) -> dict[str, float]:
        train = self._data.train
        order = batch_order(self._seed, self._replicate, self.epoch, len(train.x)).to(train.x.device)
        self._model.train()
        losses, correct = train_epoch(
            self._forward(self._model),
            self._optimizer,
            train,
            order,
            self._batch_size,
            self._data.buffers,
            self._clip_gradients,
        )
        if self._scheduler:
            self._scheduler.step()
        return {"train_accuracy": correct.item(), "train_loss": losses.item()}

    def _forward(self, model: nn.Module) -> Forward:
        return lambda x, y: predict(model, self._loss, self._precision, x, y)

    def _clip_gradients(self) -> None:
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)

    def _score(self, model: nn.Module, split: DeviceSplit) -> tuple[NDArray[np.float32], float]:
        model.eval()
        logits, loss = score(self._forward(model), split, self._eval_batch_size, self._data.buffers)
        return metrics.scores(logits.cpu().numpy()), loss.item()

    def state(self) -> dict[str, Any]:
        """Everything that ``load`` needs to resume exactly: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict() if self._scheduler else None,
            "best": {**vars(self._best)},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a ``state``."""
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self._model.load_state_dict(state["model"])
        load_optimizer(self._optimizer, state["optimizer"])
        if self._scheduler:
            self._scheduler.load_state_dict(state["scheduler"])
        self._best = Best(**state["best"])


def make_model(spec: TrialSpec, task: Task, data: DeviceSplits, replicate: int) -> nn.Module:
    """A replicate's new model, drawn on the CPU so that it is the same for every device.

    Seeds the generators of this process: call it within a `ProcessState`.
    """
    seed_generators(derive_seed(spec.settings.seed, INITIALISATION, replicate))
    x = data.train.x
    return task.model(copied(spec.config), tuple(x.shape[1:])).to(x.device)


def batch_order(seed: int, replicate: int, epoch: int, n: int) -> Tensor:
    """The order of the ``n`` training inputs in an epoch, (n,): drawn on the CPU for every device."""
    order = torch.Generator().manual_seed(derive_seed(seed, BATCH_ORDER, replicate, epoch))
    return torch.randperm(n, generator=order)


def predict(
    model: Callable[[Tensor], Tensor], loss: Loss, precision: str, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Inputs (B, *shape) and labels (B,) to losses (B,) and logits (B, C); losses are never of bfloat16."""
    with autocast(precision, x.device):
        logits = model(x)
    if precision == "bf16":
        logits = logits.float()
    return loss(logits, y), logits


def train_epoch(
    forward: Forward,
    optimizer: torch.optim.Optimizer,
    split: DeviceSplit,
    order: Tensor,
    size: int,
    buffers: Buffers,
    clip: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """One pass over a split in batches of ``size``, a step each; nothing waits for the device.

    Args:
        order: (N,) for one replicate, (R, N) for a stack.
        clip: called between the gradients and the step.

    Returns:
        The mean loss and the share of correct predictions on the way, (...) each.
    """
    y, rows = split.y[order], min(size, order.shape[-1]) * order[..., 0].numel()
    gather = buffers.gatherer(split.x, rows)
    losses, correct = [], []
    for index, target in zip(order.split(size, dim=-1), y.split(size, dim=-1), strict=True):
        optimizer.zero_grad(set_to_none=True)
        found, logits = forward(gather(index), target)
        found.mean(dim=-1).sum().backward()
        clip()
        optimizer.step()
        losses.append(found.detach())
        correct.append(_classes(logits.detach()) == target)
    return _mean(losses), _mean(correct)


@torch.no_grad()
def score(forward: Forward, split: DeviceSplit, size: int, buffers: Buffers) -> tuple[Tensor, Tensor]:
    """Logits (..., N, C) and mean loss (...) of a split, in batches of ``size``."""
    gather = buffers.gatherer(split.x, min(size, len(split.x)))
    losses, logits = [], []
    for index in torch.arange(len(split.x), device=split.x.device).split(size):
        found, out = forward(gather(index), split.y[index])
        losses.append(found)
        logits.append(out)
    return torch.cat(logits, dim=-2), _mean(losses)


def _mean(batches: list[Tensor]) -> Tensor:
    """The mean over all batches, (..., B) each, summed in double precision."""
    return torch.cat(batches, dim=-1).mean(dim=-1, dtype=torch.float64)


def _classes(logits: Tensor) -> Tensor:
    """Logits (..., C) to classes (...)."""
    return logits[..., 0] > 0 if logits.shape[-1] == 1 else logits.argmax(dim=-1)


def all_finite(parameters: Iterable[Tensor]) -> Tensor:
    """Whether every number of each replicate is finite, (R,) on the device, for parameters (R, ...).

    The extremes are NaN or infinite where any number is. They take one pass each and no memory.
    """
    rows = [parameter.detach().reshape(len(parameter), -1) for parameter in parameters if parameter.numel()]
    return torch.stack([end for row in rows for end in (row.amax(1), row.amin(1))]).isfinite().all(dim=0)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """``load_state_dict`` with each tensor laid out in memory as its parameter, which fused steps require."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def clone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy that later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """What a model runs in: under ``bf16``, matrix products and convolutions are of bfloat16."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
