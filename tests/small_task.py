"""A task of its own data and a space of it, small enough for whole sweeps within a test."""

from __future__ import annotations

from typing import Any

from tune_app import space as spaces
from tune_app.session import lifecycle, loading
from tune_app.session.request import Request
from tune_app.sweep import Sweep

#: A task of its own data with all that a checkpoint must hold: momentum, a schedule, dropout.
TASK = """
    import numpy as np
    import torch
    from tune_app.task import Labelled, Splits

    class Task:
        def splits(self, dataset):
            rng = np.random.default_rng(3)
            def draw(n):
                y = np.arange(n) % 2
                return Labelled((rng.normal(size=(n, 6)) + y[:, None]).astype(np.float32), y.astype(np.int64))
            return Splits(draw(40), draw(20), draw(20))

        def model(self, config, shape):
            return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))

        def loss(self, config):
            bce = torch.nn.functional.binary_cross_entropy_with_logits
            return lambda logits, y: bce(logits[:, 0], y.float(), reduction="none")

        def optimizer(self, config, params):
            return torch.optim.Adam(params, lr=config["lr"])

        def scheduler(self, config, optimizer):
            return torch.optim.lr_scheduler.StepLR(optimizer, 2, config.get("gamma", 0.5))

        def batch_sizes(self, config):
            return 8, 10
"""

GRID = "space: {lr: {grid: [0.01, 0.1]}}\nepochs: 4\nseeds: 2\nkeep: last\ncheckpoint_every: 0\n"


def request(task: str, text: str = GRID, name: str = "one", **options: Any) -> Request:
    space = spaces.parse(f"task: {task}\n{text}", file="my.yaml", name="my")
    return Request(space, name=name, address="inline", **options)


def run(asked: Request) -> Sweep:
    return lifecycle.run(asked, loading.load(asked)).train()
