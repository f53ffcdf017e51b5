"""The tasks of the runs beside this file, which version 1 of the record was written of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import StepLR

from tune_app.tasks.task import Labelled, Splits


class Slow(StepLR):
    """Takes its time in every epoch, so that a kill found it at work."""

    def step(self, *args: Any) -> None:
        time.sleep(float(os.environ.get("PAUSE_S", 0)))
        super().step(*args)


class Task:
    """Two overlapping clouds of points, told apart by a line: its trials have checkpoints."""

    def splits(self, dataset: Any) -> Splits:
        rng = np.random.default_rng(3)

        def draw(n: int) -> Labelled:
            y = np.arange(n) % 2
            return Labelled((rng.normal(size=(n, 3)) + y[:, None]).astype(np.float32), y.astype(np.int64))

        return Splits(draw(16), draw(10), draw(10))

    def model(self, config: Mapping[str, Any], shape: tuple[int, ...]) -> torch.nn.Module:
        return torch.nn.Linear(shape[0], 1)

    def loss(self, config: Mapping[str, Any]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        return lambda logits, y: bce(logits[:, 0], y.float(), reduction="none")

    def optimizer(self, config: Mapping[str, Any], params: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(params, lr=config["lr"])

    def scheduler(self, config: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> StepLR:
        return Slow(optimizer, 2, 0.5)

    def batch_sizes(self, config: Mapping[str, Any]) -> tuple[int, int]:
        return 8, 10


def function(config: Mapping[str, Any], context: Any) -> Iterator[dict[str, float]]:
    """A curve with noise, of plain arithmetic."""
    rng = np.random.default_rng(context.seed)
    for epoch in range(context.epochs):
        value = float(1 - abs(config["x"] - 0.3) - 0.5 ** (epoch + 1) + 0.02 * rng.random())
        yield {"val_accuracy": value, "test_accuracy": value - 0.1}
