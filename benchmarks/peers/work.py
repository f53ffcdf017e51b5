"""What every peer trains: the paper's model on the same arrays, as a user's own script would have it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

EPOCHS = 30


@dataclass(frozen=True)
class Arguments:
    """What the benchmark asks of a peer."""

    data: Path
    configs: list[dict[str, Any]]
    seeds: int
    epochs: int
    variant: str
    gpus: float

    @property
    def device(self) -> str:
        """Where the models are trained."""
        return "cuda" if self.gpus else "cpu"

    def models(self) -> list[tuple[dict[str, Any], int]]:
        """Every model to train: a configuration and a seed."""
        return [(config, seed) for config in self.configs for seed in range(self.seeds)]


def arguments() -> Arguments:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--configs", type=json.loads, required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--variant", default="")
    parser.add_argument("--gpus", type=float, default=0.0, help="Share of a GPU for each model.")
    return Arguments(**vars(parser.parse_args()))


def load(path: Path) -> dict[str, torch.Tensor]:
    """``x_train`` (N, H, W) uint8, ``y_train`` (N,), and so for ``val``."""
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def model(side: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
    )


def train(
    arrays: dict[str, torch.Tensor], config: dict[str, Any], seed: int, epochs: int, device: str = "cpu"
) -> Iterable[float]:
    """The tutorial's loop, with a DataLoader; yields validation accuracy once an epoch."""
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    train_set = TensorDataset(arrays["x_train"], arrays["y_train"])
    val_set = TensorDataset(arrays["x_val"], arrays["y_val"])
    loader = DataLoader(train_set, batch_size=128, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=32)
    net = model(arrays["x_train"].shape[1]).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=config["lr"])
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, config["step_size"], gamma=0.4)
    loss_function = nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        net.train()
        for x, y in loader:
            optimizer.zero_grad()
            x, y = x.to(device), y.to(device)
            loss = loss_function(net(x.float()).squeeze(1), y.float())
            loss.backward()
            optimizer.step()
        schedule.step()
        net.eval()
        correct = 0
        with torch.no_grad():
            for x, y in val_loader:
                x, y = x.to(device), y.to(device)
                correct += int(((net(x.float()).squeeze(1) > 0) == (y > 0)).sum())
        yield correct / len(val_set)


def told(accuracies: list[float]) -> None:
    """The last line that a peer prints: the mean of what its models reached, for a check of equal work."""
    print(json.dumps({"models": len(accuracies), "val_accuracy": sum(accuracies) / len(accuracies)}))
