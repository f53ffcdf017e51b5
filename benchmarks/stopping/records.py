"""Deep records: configurations trained to their end with many seeds, or curves made up to look like them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.simulate import Floats, generator


@dataclass(frozen=True)
class Deep:
    """Curves (K, R, E) in which more is better: the metric in points, and the loss with its sign changed.

    ``judges`` says that the record judges the rules; the others choose among them.
    """

    name: str
    judges: bool
    metric: Floats
    loss: Floats


def of_run(name: str, run: Path, judges: bool) -> Deep:
    """The record of a finished run of the pneumonia task."""
    curves = pd.read_csv(run / "curves.csv").set_index(["sample", "replicate", "epoch"]).sort_index()
    values = curves[["val_accuracy", "val_loss"]].to_numpy(dtype=np.float64)
    shape = [curves.index.unique(level).size for level in curves.index.names]
    accuracy, loss = values.reshape(*shape, 2).transpose(3, 0, 1, 2)
    return Deep(name, judges, 100 * accuracy, -loss)


def crossing(number: int, configurations: int = 81, seeds: int = 15, epochs: int = 30) -> Deep:
    """Made-up curves: what learns slowly ends higher, and the loss of a third rises again at the end."""
    rng = generator("stopping", "crossing", number)
    pace = np.exp(rng.normal(0.7, 0.5, (configurations, 1, 1)))
    end = 88 + np.log(pace) - rng.exponential(4, pace.shape)
    epoch = np.arange(1, epochs + 1)
    latent = end - 15 * np.exp(-epoch / pace) + rng.normal(0, 0.5, (configurations, seeds, 1))
    rising = np.where(rng.random(pace.shape) < 1 / 3, np.maximum(epoch - 10, 0) / 5, 0)
    shape = (configurations, seeds, epochs)
    metric, loss = latent + rng.normal(0, 0.8, shape), latent - rising + rng.normal(0, 0.4, shape)
    return Deep("curves that cross", False, metric, loss)


def regression(seeds: int = 15, epochs: int = 30) -> Deep:
    """A small network on Friedman's first function: R2 in points; 9 learning rates, 3 widths, 3 decays."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand((900, 10), generator=random)
    y = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y + torch.randn(len(y), generator=random) - 14.4) / 5
    rates = [3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 4e-1]
    losses = [
        _train(x, y, rate, width, decay, seeds, epochs)
        for rate in rates
        for width in (8, 32, 96)
        for decay in (0.0, 1e-3, 1e-2)
    ]
    # what diverges is as bad as a prediction without any information, or worse
    loss = np.nan_to_num(np.array(losses), nan=np.inf).clip(max=2 * float(y[600:].var()))
    return Deep("regression", False, 100 * (1 - loss / float(y[600:].var())), -loss)


def _train(
    x: torch.Tensor, y: torch.Tensor, rate: float, width: int, decay: float, seeds: int, epochs: int
) -> Floats:
    """Validation losses (R, E), all seeds at once; the last 300 of 900 inputs are held out."""
    torch.manual_seed(0)
    hidden, out = (
        nn.Parameter((2 / fan) ** 0.5 * torch.randn((seeds, fan + 1, to)))
        for fan, to in ((x.shape[1], width), (width, 1))
    )
    optimizer = torch.optim.SGD([hidden, out], lr=rate, momentum=0.9, weight_decay=decay)
    ones = torch.ones

    def losses(inputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        first = torch.cat((inputs, ones((*inputs.shape[:2], 1))), dim=2).bmm(hidden).relu()
        found = torch.cat((first, ones((*first.shape[:2], 1))), dim=2).bmm(out)[..., 0]
        return ((found - wanted) ** 2).mean(dim=1)

    curve = []
    for _ in range(epochs):
        for batch in torch.stack([torch.randperm(600) for _ in range(seeds)]).split(20, dim=1):
            optimizer.zero_grad()
            losses(x[batch], y[batch]).sum().backward()
            optimizer.step()
        with torch.no_grad():
            held_out = losses(x[600:].expand(seeds, -1, -1), y[600:].expand(seeds, -1))
        curve.append(held_out.tolist())
    return np.array(curve).T
