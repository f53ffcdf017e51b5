"""Stacked and looped replicates of small models, and their comparison."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from specs import make_spec
from torch import nn

from tune_app.data import Dataset
from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplit, DeviceSplits
from tune_app.training.replicates import Replicates
from tune_app.training.task_replicates import Looped, Stacked

EPOCHS = 3


#: 25 images in batches of 8: the last one of an epoch holds a single image.
CONFIG: Config = {"lr": 1e-3, "step_size": 2, "batch_size": 8, "test_batch_size": 4, "nodes": 8}


OPTIMIZERS: dict[str, Config] = {
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "loss": "ce"},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "lr": 1e-4},
}


class Mlp(Pneumonia):
    """The MLP, in double precision."""

    def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
        return super().model(config, shape).double()


class Cnn(Pneumonia):
    """A small CNN with a normalisation of its own, a buffer and a scalar; in double precision."""

    def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
        return _Cnn(1 if config.get("loss", "bce") == "bce" else 2).double()


class _Cnn(nn.Module):
    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2)
        self.norm = nn.GroupNorm(2, 4)
        self.second = nn.Conv2d(4, 4, 2, bias=False)
        self.gain = nn.Parameter(torch.rand(()) + 1)
        self.register_buffer("scale", torch.rand(1) + 100)
        self.register_buffer("offset", torch.rand(1), persistent=False)  # in no state, yet each has its own
        self.last = nn.Linear(4, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x[:, None] / self.scale + self.offset)))
        logits: torch.Tensor = self.gain * self.last(self.second(x).flatten(1))
        return logits


TASKS: dict[str, Callable[[], Pneumonia]] = {"mlp": Mlp, "cnn": Cnn}


def in_double(splits: DeviceSplits) -> DeviceSplits:
    """The same splits in double precision."""

    def convert(part: DeviceSplit) -> DeviceSplit:
        return DeviceSplit(part.x.double(), part.y)

    return DeviceSplits(convert(splits.train), convert(splits.val), convert(splits.test))


def make(
    kind: type[Looped] | type[Stacked],
    task: Pneumonia,
    splits: DeviceSplits,
    replicates: Sequence[int],
    config: Config = CONFIG,
    keep_best: tuple[str, int] | None = None,
) -> Replicates:
    return kind(make_spec(config, replicates, epochs=30, keep_best=keep_best), task, splits)


def train(group: Replicates, epochs: int = EPOCHS) -> list[list[Mapping[str, float]]]:
    """The metrics of each replicate, epoch by epoch."""
    found = [group.step() for _ in range(epochs)]
    return [list(each) for each in zip(*found, strict=True)] or [[] for _ in group.state()]


def diverged(group: Replicates) -> list[int | None]:
    """The epoch at which each replicate froze; None for the others."""
    return [each.epoch if each.diverged else None for each in group.all]


def ended(group: Replicates) -> list[int | None]:
    """The last epoch of each replicate that has ended otherwise; None for the others."""
    return [each.epoch if each.ended else None for each in group.all]


def evaluated(group: Replicates) -> list[int]:
    """The epoch of each replicate that ``test`` looks at."""
    return [each.evaluated for each in group.all]


def durations(group: Replicates) -> list[float]:
    return [each.duration_s for each in group.all]


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Every tensor and plain value of a state, by its path."""
    if isinstance(tree, Mapping):
        items: Iterable[tuple[Any, Any]] = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        return {path: tree}
    return {k: v for key, value in items for k, v in leaves(value, f"{path}/{key}").items()}


def assert_close(one: Any, other: Any, atol: float = 1e-8) -> None:
    """Whether two states, metrics or outcomes are the same but for rounding."""
    a, b = leaves(one), leaves(other)
    assert a.keys() == b.keys()
    for path, value in a.items():
        if isinstance(value, torch.Tensor):
            assert (value.shape, value.dtype) == (b[path].shape, b[path].dtype), path
            assert torch.allclose(value.double(), b[path].double(), 0, atol, equal_nan=True), path
        elif isinstance(value, float):
            assert b[path] == pytest.approx(value, abs=atol, nan_ok=True), path
        else:
            assert value == b[path], path


def through_a_file(states: list[Any]) -> list[Any]:
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    loaded: list[Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def splits(tiny: Dataset) -> DeviceSplits:
    """In single precision, as uint8."""
    return DeviceSplits.load(Pneumonia().splits(tiny), "cpu")


@pytest.fixture(scope="module")
def double(splits: DeviceSplits) -> DeviceSplits:
    return in_double(splits)
