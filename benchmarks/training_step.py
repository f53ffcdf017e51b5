"""Seconds an epoch of a replicate: a hand-written loop, looped and stacked replicates, turn by turn.

    python benchmarks/training_step.py --side 28 --seeds 10

The paper's model on made-up images: 1,800 for training in batches of 128, 200 for validation, of 32.
The hand-written loop picks batches by index, steps torch's fused Adam, and counts loss and accuracy; it is
what a careful user would write. On a busy machine compare the processor's time, not the wall's.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from tune_app import space as spaces
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Labelled, Splits
from tune_app.training.device_data import DeviceSplits
from tune_app.training.task_replicates import Looped, Stacked

CONFIG = {"lr": 3e-6, "step_size": 4}


class ByHand:
    """One model after the other, as it would be written without tune-app."""

    def __init__(self, data: DeviceSplits, seeds: int) -> None:
        self.data = data
        shape = tuple(data.train.x.shape[1:])
        self.models = [Pneumonia().model(CONFIG, shape).to(data.train.x.device) for _ in range(seeds)]
        self.optimizers = [torch.optim.Adam(m.parameters(), lr=3e-6, fused=True) for m in self.models]

    def step(self) -> None:
        for model, optimizer in zip(self.models, self.optimizers, strict=True):
            self.epoch(model, optimizer)

    def epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        x, y = self.data.train.x, self.data.train.y.float()
        loss_sum = correct = 0.0
        for index in torch.randperm(len(x), device=x.device).split(128):
            logits = model(x[index].float())[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(index)
            correct += ((logits > 0) == (y[index] > 0)).sum().item()
        with torch.no_grad():
            for images, labels in zip(self.data.val.x.split(32), self.data.val.y.split(32), strict=True):
                correct += ((model(images.float())[:, 0] > 0) == (labels > 0)).sum().item()


def images(side: int, count: int) -> Labelled:
    x = np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8)
    return Labelled(x, np.arange(count, dtype=np.int64) % 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bf16"])
    parser.add_argument("--wall", action="store_true", help="wall time instead of the processor's")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    splits = Splits(*(images(asked.side, count) for count in (1800, 200, 400)))
    data = DeviceSplits.load(splits, asked.device)
    space = spaces.parse(f"task: pneumonia\nfixed: {CONFIG}\nepochs: 30")
    spec = TrialSpec.example(space, range(asked.seeds), Numerics(precision=asked.precision))
    ways: dict[str, Any] = {
        "by hand": ByHand(data, asked.seeds),
        "looped": Looped(spec, Pneumonia(), data),
        "stacked": Stacked(spec, Pneumonia(), data),
    }
    clock = time.perf_counter if asked.wall else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(asked.rounds + 1):
        for name, way in ways.items():
            began = clock()
            way.step()
            if turn:  # the first loads what later ones find there
                seconds[name].append((clock() - began) / asked.seeds)
    by_hand = np.median(seconds["by hand"])
    for name, each in seconds.items():
        least, middle = min(each) * 1e3, np.median(each)
        print(
            f"{asked.side:4d} px  {asked.seeds:3d} seeds  {name:8s} median {middle * 1e3:8.2f} ms  "
            f"least {least:8.2f} ms  {by_hand / middle:5.2f} times as fast as by hand"
        )


if __name__ == "__main__":
    main()
