"""``for`` loops, no tool at all: with a DataLoader, or tuned by hand over as many processes as cores.

Variants: ``dataloader`` (one after the other); ``index`` (batches by index, Adam as it is); ``fused`` (by
index, fused Adam). The last two train in one process each core, one thread each.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.peers import work


def by_index(
    arrays: dict[str, torch.Tensor], config: dict[str, Any], seed: int, epochs: int, fused: bool
) -> float:
    torch.manual_seed(seed)
    x, y = arrays["x_train"], arrays["y_train"].float()
    x_val, y_val = arrays["x_val"].float(), arrays["y_val"]
    net = work.model(x.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=config["lr"], fused=fused)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, config["step_size"], gamma=0.4)
    loss_function = nn.BCEWithLogitsLoss()
    accuracy = 0.0
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(128):
            optimizer.zero_grad(set_to_none=True)
            loss_function(net(x[index].float()).squeeze(1), y[index]).backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            accuracy = ((net(x_val).squeeze(1) > 0) == (y_val > 0)).float().mean().item()
    return accuracy


_ARRAYS: dict[str, torch.Tensor] = {}


def _begin(path: Path) -> None:
    torch.set_num_threads(1)
    _ARRAYS.update(work.load(path))


def _one(config: dict[str, Any], seed: int, epochs: int, fused: bool) -> float:
    return by_index(_ARRAYS, config, seed, epochs, fused)


def main() -> None:
    asked = work.arguments()
    if asked.variant == "dataloader":
        arrays = work.load(asked.data)
        work.told([[*work.train(arrays, c, seed, asked.epochs)][-1] for c, seed in asked.models()])
        return
    workers = os.cpu_count() or 1
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(asked.data,)) as pool:
        jobs = [
            pool.submit(_one, c, seed, asked.epochs, asked.variant == "fused") for c, seed in asked.models()
        ]
        work.told([job.result() for job in jobs])


if __name__ == "__main__":
    main()
