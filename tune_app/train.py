"""One replicate of a configuration, trained an epoch at a time; nothing about Ray in here.

Every random draw is derived from (seed, replicate, epoch) alone, so a replicate comes out the same
whether it is trained by itself, beside others, or after a resume.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tune_app import metrics
from tune_app.history import Config
from tune_app.task import Labelled, Splits, Task, make_scheduler

#: What a random draw is for; each purpose has a stream of its own.
INITIALISATION, BATCH_ORDER, NOISE, FUNCTION = range(4)


def derive_seed(seed: int, purpose: int, replicate: int, epoch: int = 0) -> int:
    """A 63-bit seed for one purpose of one replicate in one epoch (numpy's SeedSequence)."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(purpose, replicate, epoch))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


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

    @classmethod
    def load(cls, splits: Splits, device: str) -> DeviceSplits:
        """Copy the arrays to ``device``; integer pixels stay as they are until a batch is gathered."""

        def put(part: Labelled) -> DeviceSplit:
            return DeviceSplit(torch.tensor(part.x, device=device), torch.tensor(part.y, device=device))

        return cls(put(splits.train), put(splits.val), put(splits.test))


@dataclass(frozen=True)
class Outcome:
    """The test set's answer: ``test_`` metrics and the score of every image, (N,) or (N, C)."""

    metrics: dict[str, float]
    scores: NDArray[np.float32]


@dataclass
class _Best:
    value: float = float("nan")
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Learner:
    """One replicate: a model, its optimiser and schedule, at some epoch.

    Args:
        epochs: how many the sweep wants, for schedules that hang on it.
        keep_best: ``(metric, sign)`` to remember the weights of the best epoch, sign +1 for max and -1
            for min; None to evaluate the last.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        splits: DeviceSplits,
        seed: int,
        replicate: int,
        epochs: int,
        keep_best: tuple[str, int] | None = None,
    ) -> None:
        self._seed, self._replicate = seed, replicate
        self._splits, self._keep_best = splits, keep_best
        self._batch_size, self._eval_batch_size = task.batch_sizes(config)
        self._loss = task.loss(config)
        device = splits.train.x.device
        with _seeded(derive_seed(seed, INITIALISATION, replicate), device):
            # Drawn on the CPU, so that a replicate starts from the same weights on every device.
            self._model = task.model(config, tuple(splits.train.x.shape[1:])).to(device)
        self._optimizer = task.optimizer(config, self._model.parameters())
        self._scheduler = make_scheduler(task, config, self._optimizer, epochs)
        self._best = _Best()
        self.epoch = 0
        self.diverged = False

    @property
    def evaluated(self) -> int:
        """The epoch whose weights the test set would see."""
        return self._best.epoch if self._keep_best else self.epoch

    def step(self) -> dict[str, float]:
        """Train one epoch; returns ``train_`` metrics (running, over the epoch) and ``val_`` metrics.

        When a loss or a parameter becomes non-finite the learner freezes: ``diverged`` is set, and this
        and every later call return no metrics.
        """
        if self.diverged:
            return {}
        found = self._train()
        self.epoch += 1
        if not (np.isfinite(found["train_loss"]) and _all_finite(self._model)):
            self.diverged = True
            return {}
        score, loss = self._score(self._model, self._splits.val)
        if not np.isfinite(loss):
            self.diverged = True
            return {}
        found |= metrics.evaluate("val", score, loss, self._splits.val.y.cpu().numpy())
        self._remember(found)
        return found

    def test(self) -> Outcome:
        """The evaluated epoch's metrics and scores on the test set: this breaks the seal."""
        model = self._model
        if self._keep_best:
            model = copy.deepcopy(model)
            model.load_state_dict(self._best.weights)
        score, loss = self._score(model, self._splits.test)
        return Outcome(metrics.evaluate("test", score, loss, self._splits.test.y.cpu().numpy()), score)

    def weights(self) -> dict[str, Tensor]:
        """The weights of the evaluated epoch, on the CPU."""
        weights = self._best.weights if self._keep_best else self._model.state_dict()
        return {name: tensor.detach().cpu() for name, tensor in weights.items()}

    def _train(self) -> dict[str, float]:
        x, y = self._splits.train.x, self._splits.train.y
        # Indices are drawn on the CPU, so that the order is the same on every device.
        order = torch.Generator().manual_seed(
            derive_seed(self._seed, BATCH_ORDER, self._replicate, self.epoch)
        )
        permutation = torch.randperm(len(x), generator=order).to(x.device)
        loss_sum = torch.zeros((), device=x.device)
        correct = torch.zeros((), device=x.device)
        self._model.train()
        with _seeded(derive_seed(self._seed, NOISE, self._replicate, self.epoch), x.device):
            for index in permutation.split(self._batch_size):
                target = y[index]
                self._optimizer.zero_grad(set_to_none=True)
                logits = self._model(_as_input(x[index]))
                losses = self._loss(logits, target)
                losses.mean().backward()
                self._optimizer.step()
                with torch.no_grad():
                    loss_sum += losses.sum()
                    correct += (_classes(logits) == target).sum()
        if self._scheduler:
            self._scheduler.step()
        return {"train_accuracy": correct.item() / len(x), "train_loss": loss_sum.item() / len(x)}

    @torch.no_grad()
    def _score(self, model: nn.Module, split: DeviceSplit) -> tuple[NDArray[np.float32], float]:
        model.eval()
        outputs, loss_sum = [], torch.zeros((), device=split.x.device)
        for x, y in zip(
            split.x.split(self._eval_batch_size), split.y.split(self._eval_batch_size), strict=True
        ):
            logits = model(_as_input(x))
            loss_sum += self._loss(logits, y).sum()
            outputs.append(logits)
        return metrics.scores(torch.cat(outputs).cpu().numpy()), loss_sum.item() / len(split.x)

    def _remember(self, found: dict[str, float]) -> None:
        if self._keep_best is None:
            return
        name, sign = self._keep_best
        if name not in found:  # a share of no images; the trial tells it
            return
        if not self._best.weights or sign * found[name] > self._best.value:
            weights = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}
            self._best = _Best(sign * found[name], self.epoch, weights)

    def state(self) -> dict[str, Any]:
        """Everything that ``load`` needs to go on exactly as if never stopped: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict() if self._scheduler else None,
            "best": {"value": self._best.value, "epoch": self._best.epoch, "weights": self._best.weights},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._scheduler:
            self._scheduler.load_state_dict(state["scheduler"])
        self._best = _Best(**state["best"])


class Stopwatch:
    """Seconds of wall time since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far, to a tenth of a millisecond."""
        return round(time.perf_counter() - self._start, 4)


def _as_input(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _classes(logits: Tensor) -> Tensor:
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def _all_finite(model: nn.Module) -> bool:
    return bool(torch.stack([parameter.isfinite().all() for parameter in model.parameters()]).all())


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which modules draw from, and put them back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
