"""What is trained: a task with all that a checkpoint must hold, and a space for each way to sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

#: Seconds that the task waits in each epoch of a replicate, so that a kill finds it at work.
PAUSE = "CHAOS_PAUSE_S"

#: Momentum, a schedule, dropout, a buffer; some replicates are doomed to diverge where ``doom`` is given.
TASK = """
import os
import time

import numpy as np
import torch
from torch.optim.lr_scheduler import StepLR

from tune_app.task import Labelled, Splits


class Net(torch.nn.Module):
    def __init__(self, doom):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("left", 40 * torch.rand(()) / max(doom, 1e-9))
        self.register_buffer("ballast", torch.rand(200_000))

    def forward(self, x):
        if self.training:
            self.steps += 1
        return self.layers(x) * (1 if self.steps < self.left else torch.nan)


class Slow(StepLR):
    def step(self, *args):
        time.sleep(float(os.environ.get("CHAOS_PAUSE_S", 0)))
        super().step(*args)


class Task:
    def splits(self, dataset):
        rng = np.random.default_rng(3)

        def draw(n):
            y = np.arange(n) % 2
            return Labelled((rng.normal(size=(n, 6)) + y[:, None]).astype(np.float32), y.astype(np.int64))

        return Splits(draw(40), draw(20), draw(20))

    def model(self, config, shape):
        return Net(config.get("doom", 0))

    def loss(self, config):
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        return lambda logits, y: bce(logits[:, 0], y.float(), reduction="none")

    def optimizer(self, config, params):
        return torch.optim.Adam(params, lr=config["lr"])

    def scheduler(self, config, optimizer):
        return Slow(optimizer, 2, config.get("gamma", 0.5))

    def batch_sizes(self, config):
        return 8, 10


def function(config, context):
    rng = np.random.default_rng(context.seed)
    for epoch in range(context.epochs):
        time.sleep(float(os.environ.get("CHAOS_PAUSE_S", 0)))
        value = float(1 - 0.5 ** epoch * config["lr"] + 0.01 * rng.random())
        yield {"val_accuracy": value, "test_accuracy": value - 0.1}
"""


@dataclass(frozen=True)
class Case:
    """A sweep: the text of its space, and the flags that it is run with.

    ``ordered`` says that its course depends on the order in which trials report, so that it comes out the
    same for certain only where one trial runs at a time; ``stateless`` that it has no checkpoints;
    ``extension`` is the command that adds to it once it is done, with its flags.
    """

    name: str
    text: str
    flags: tuple[str, ...] = ()
    ordered: bool = False
    stateless: bool = False
    concurrent: int = 2
    extension: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether a sweep that was killed must end as an undisturbed one."""
        return self.concurrent == 1 or not self.ordered

    def alone(self) -> Case:
        """The same sweep, one trial at a time."""
        return replace(self, name=f"{self.name}, one at a time", concurrent=1)

    def write(self, folder: Path) -> None:
        """Put the task and the space into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chaos_task.py").write_text(TASK, encoding="utf-8")
        (folder / "my.yaml").write_text(self.text, encoding="utf-8")

    def run(self, name: str, address: str) -> list[str]:
        """The arguments of ``tune-app`` that start it as the run ``name``."""
        return ["run", "my.yaml", "--name", name, *self.flags, *self._how(address)]

    def extend(self, name: str, address: str) -> list[str]:
        """The arguments of ``tune-app`` that want more of it."""
        verb, *flags = self.extension
        return [verb, name, *flags, *self._how(address)]

    def resume(self, name: str, address: str) -> list[str]:
        """The arguments of ``tune-app`` that go on with it."""
        return ["resume", name, *self._how(address)]

    def _how(self, address: str) -> list[str]:
        return ["--address", address, "--max-concurrent", str(self.concurrent)]


def _space(*lines: str, task: str = "chaos_task:Task", replicates: str = "looped") -> str:
    usual = [f"task: {task}", "seeds: 2", "epochs: 6", "checkpoint_every: 0"]
    if task != _FUNCTION:  # which trains its replicates itself
        usual.append(f"replicates: {replicates}")
    return "\n".join([*usual, *lines, ""])


_FUNCTION = "chaos_task:function"
_GRID = "space: {lr: {grid: [0.01, 0.1, 0.03]}}"
_WIDE = "space: {lr: {grid: [0.01, 0.1, 0.03, 0.001, 0.3]}}"
_ASHA = "stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}"
_HALVING = "stop: {scheduler: halving, grace_period: 1, reduction_factor: 2}"
_PROMOTION = _HALVING.replace("halving", "asha, type: promotion")
_OPTUNA = "search: {algorithm: optuna, sampler: tpe, samples: 8}"
_SEARCHED = "space: {lr: {choice: [0.01, 0.1, 0.03]}, gamma: {choice: [0.5, 0.9]}}"
_SETTLE = ("settle", "--budget", "40")
_SMALL = ("--data", "phantom", "--image-size", "8")

CASES = {
    case.name: case
    for case in (
        Case("grid", _space(_GRID)),
        Case("keep last", _space(_GRID, "keep: last", "evaluate: best")),
        Case("diverging", _space(_GRID, "fixed: {doom: 1}")),
        Case("function", _space(_GRID, task=_FUNCTION), stateless=True),
        Case("phantom", _space(_GRID, task="pneumonia"), flags=_SMALL),
        Case("stacked", _space(_GRID, task="pneumonia", replicates="stacked"), flags=_SMALL),
        Case("asha", _space(_WIDE, _ASHA), ordered=True),
        Case("asha, diverging", _space(_WIDE, _ASHA, "fixed: {doom: 1}"), ordered=True),
        Case("halving", _space(_WIDE, _HALVING)),
        Case("halving, function", _space(_WIDE, _HALVING, task=_FUNCTION), stateless=True),
        Case("promotion", _space(_WIDE, _PROMOTION), ordered=True),
        Case("promotion, function", _space(_WIDE, _PROMOTION, task=_FUNCTION), ordered=True, stateless=True),
        Case("optuna", _space(_SEARCHED, _OPTUNA, "configs: [{lr: 0.05, gamma: 0.7}]"), ordered=True),
        Case("optuna, asha", _space(_SEARCHED, _OPTUNA, _ASHA, "keep: last"), ordered=True),
        Case("optuna, promotion", _space(_SEARCHED, _OPTUNA, _PROMOTION), ordered=True),
        Case("extended", _space(_GRID), extension=("extend", "--seeds", "+1", "--add", "lr=0.02")),
        Case("longer", _space(_GRID, "keep: last", "evaluate: best"), extension=("extend", "--epochs", "+3")),
        Case("asha, extended", _space(_WIDE, _ASHA), ordered=True, extension=("extend", "--seeds", "+1")),
        Case(
            "optuna, extended",
            _space(_SEARCHED, _OPTUNA),
            ordered=True,
            extension=("extend", "--samples", "+3"),
        ),
        Case("settled", _space(_GRID), extension=_SETTLE),
        Case("settled, diverging", _space(_GRID, "fixed: {doom: 0.15}", "keep: last"), extension=_SETTLE),
        Case(
            "settled, stacked",
            _space(_GRID, task="pneumonia", replicates="stacked"),
            _SMALL,
            extension=_SETTLE,
        ),
        Case("asha, settled", _space(_WIDE, _ASHA), ordered=True, extension=_SETTLE),
        Case("optuna, settled", _space(_SEARCHED, _OPTUNA), ordered=True, extension=_SETTLE),
    )
}
