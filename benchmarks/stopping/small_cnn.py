"""A small convolutional network on the images of the pneumonia task, scaled to -1 to 1."""

from __future__ import annotations

import torch
from torch import nn

from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia

SPACE = """
task: benchmarks.stopping.small_cnn:SmallCnn
space:
  lr: {grid: [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]}
  step_size: {grid: [2, 4, 8]}
fixed: {gamma: 0.4, batch_size: 64, loss: bce}
epochs: 30
seeds: 8
metric: {name: val_accuracy, mode: max}
keep: none
"""


class SmallCnn(Pneumonia):
    """The pneumonia task with two convolutions instead of its layers."""

    def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
        """Two convolutions of 5x5 with 8 and 16 channels, each followed by ReLU and pooling."""
        return nn.Sequential(
            _Scaled(),
            *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * (shape[-2] // 4) * (shape[-1] // 4), 1)),
        )


class _Scaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, None] / 127.5 - 1
