"""A task of its own data and a space of it, small enough for whole sweeps within a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lines import read

from tune_app import results
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.session import lifecycle
from tune_app.session.request import LoadedTask, Request, request_for
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
    return lifecycle.run(asked, asked.load()).train()


COSINE = TASK.replace(
    "scheduler(self, config, optimizer)", "scheduler(self, config, optimizer, epochs)"
).replace('StepLR(optimizer, 2, config.get("gamma", 0.5))', "CosineAnnealingLR(optimizer, epochs)")


def again(name: str, **options: Any) -> tuple[Request, LoadedTask, Sweep]:
    sweep = Sweep.open(Path("runs") / name)
    asked = request_for(sweep, address="inline", **options)
    return asked, asked.load(sweep), sweep


def extend(name: str, **more: Any) -> Sweep:
    asked, loaded, sweep = again(name)
    wider = spaces.extend(sweep.space, **more)
    return lifecycle.extend(asked, loaded, sweep, wider, str(more)).train()


def rows(name: str) -> pd.DataFrame:
    """``seeds.csv`` without times and numbers, ordered by parameters only."""
    frames = results.load(Sweep.open(Path("runs") / name))
    kept = frames.seeds.drop(columns=["sample", "duration_s", "device"])
    return kept.sort_values([*frames.parameters, "replicate"], ignore_index=True)


def assert_alike(one: str, other: str) -> None:
    pd.testing.assert_frame_equal(rows(one), rows(other), check_exact=True, check_like=True)


def events(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [e for _, e in read(Path("runs") / name / "record.jsonl") if e["event"] in kinds]


def end_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the driver end after so many reports, as a signal would, without the grace to be saved."""
    reports = [0]
    original = Driver.report

    def report(self: Driver, *args: Any) -> bool:
        going = original(self, *args)
        reports[0] += 1
        if reports[0] == count:
            self.ending = "a test"
            return False
        return going

    monkeypatch.setattr(Driver, "report", report)


def cut_before(name: str, kind: str, nth: int = 1) -> None:
    """Take a record back to just before its nth event of a kind, as a crash there would have left it."""
    path = Path("runs") / name / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    at = [n for n, line in enumerate(lines) if json.loads(line)["event"] == kind][nth - 1]
    path.write_bytes(b"".join(lines[:at]))


#: Its levels above 1 fail after an epoch, until there is a file of this name.
FIX = "fixed"
FAILING = f"""
    from pathlib import Path

    def task(config, context):
        yield {{"val_accuracy": 1.0}}
        if config["level"] > 1 and not Path("{FIX}").exists():
            raise ValueError(f"cannot bear {{config['level']}}")
        yield {{"val_accuracy": 2.0}}
"""
LEVELS = "space: {level: {grid: [1, 2, 3]}}\nepochs: 2\nseeds: 1\nmax_failures: 1\n"
