"""The chest X-ray classifier of the paper: a multilayer perceptron on unscaled pixels, its Table 1.

torch is imported inside the functions that need it, which run in the trials: the driver checks
parameters and makes the splits without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_app.data import CLASSES, Dataset, Images
from tune_app.errors import TaskError
from tune_app.space import Config, Value
from tune_app.tasks.task import Labelled, Loss, Parameter, Splits

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler


def _number(default: float, rule: str, accepts: Callable[[float], bool], meaning: str) -> Parameter:
    def check(value: Value) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and accepts(value)  # type: ignore[arg-type]

    return Parameter(default, rule, check, meaning)


def _whole(default: int, rule: str, least: int, meaning: str, most: float = math.inf) -> Parameter:
    return _number(default, rule, lambda value: least <= value <= most and value == int(value), meaning)


def _one_of(*names: str, meaning: str) -> Parameter:
    return Parameter(names[0], f"one of: {', '.join(names)}", lambda value: value in names, meaning)


PARAMETERS: Mapping[str, Parameter] = {
    "lr": _number(3e-6, "a learning rate above 0", lambda v: v > 0, "learning rate"),
    "step_size": _whole(4, "a whole number of epochs, 1 or more", 1, "epochs between two decays"),
    "gamma": _number(0.4, "a factor above 0, at most 1", lambda v: 0 < v <= 1, "decay of the rate"),
    "batch_size": _whole(128, "a whole number of images, 1 or more", 1, "training batch"),
    "test_batch_size": _whole(32, "a whole number of images, 1 or more", 1, "test batch"),
    "loss": _one_of("bce", "ce", meaning="loss"),
    "optimizer": _one_of("adam", "adamw", "sgd", meaning="optimiser"),
    "momentum": _number(0.0, "a number from 0 to below 1", lambda v: 0 <= v < 1, "momentum of sgd"),
    "weight_decay": _number(0.0, "a number, 0 or more", lambda v: v >= 0, "weight decay"),
    "hidden_layers": _whole(3, "a whole number of layers, 0 to 1000", 0, "hidden layers", 1000),
    "nodes": _whole(64, "a whole number of nodes, 1 to 100000", 1, "nodes in each", 100_000),
    "dropout": _number(0.0, "a share from 0 to below 1", lambda v: 0 <= v < 1, "dropout"),
}


class Pneumonia:
    """Normal (0) or pneumonia (1), from grey images (N, H, W) of 0 to 255."""

    parameters = PARAMETERS
    classes = CLASSES

    def splits(self, dataset: Dataset | None) -> Splits:
        """The images as they are: uint8, unscaled; a batch becomes float32 when it is gathered."""
        if dataset is None:
            raise TaskError(
                "the task pneumonia trains on images: give it --data (phantom, course or a folder)."
            )
        return Splits(*(_labelled(images) for images in (dataset.train, dataset.val, dataset.test)))

    def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
        """Flatten, then ``hidden_layers`` of ``nodes`` with ReLU, then 1 output (bce) or 2 (ce)."""
        from torch import nn

        width, dropout = math.prod(shape), float(self._get(config, "dropout"))
        layers: list[nn.Module] = [nn.Flatten()]
        for _ in range(int(self._get(config, "hidden_layers"))):
            nodes = int(self._get(config, "nodes"))
            layers += [nn.Linear(width, nodes), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = nodes
        layers.append(nn.Linear(width, 1 if self._get(config, "loss") == "bce" else 2))
        return nn.Sequential(*layers)

    def loss(self, config: Config) -> Loss:
        """Binary cross-entropy on one log-odds, or cross-entropy on two logits."""
        from torch.nn import functional

        if self._get(config, "loss") == "bce":
            return lambda logits, y: functional.binary_cross_entropy_with_logits(
                logits[:, 0], y.to(logits.dtype), reduction="none"
            )
        return lambda logits, y: functional.cross_entropy(logits, y, reduction="none")

    def optimizer(self, config: Config, params: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Adam, AdamW or SGD, in torch's fused form: one pass over the parameters a step."""
        from torch import optim

        rate, decay = float(self._get(config, "lr")), float(self._get(config, "weight_decay"))
        match self._get(config, "optimizer"):
            case "adam":
                return optim.Adam(params, lr=rate, weight_decay=decay, fused=True)
            case "adamw":
                return optim.AdamW(params, lr=rate, weight_decay=decay, fused=True)
            case _:
                momentum = float(self._get(config, "momentum"))
                return optim.SGD(params, lr=rate, momentum=momentum, weight_decay=decay, fused=True)

    def scheduler(self, config: Config, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """StepLR: the rate times ``gamma`` every ``step_size`` epochs."""
        from torch.optim.lr_scheduler import StepLR

        return StepLR(
            optimizer, step_size=int(self._get(config, "step_size")), gamma=float(self._get(config, "gamma"))
        )

    def batch_sizes(self, config: Config) -> tuple[int, int]:
        """Images in a training batch and in a test batch; the last of an epoch may be smaller."""
        return int(self._get(config, "batch_size")), int(self._get(config, "test_batch_size"))

    def _get(self, config: Config, name: str) -> Any:
        return config.get(name, PARAMETERS[name].default)


def _labelled(images: Images) -> Labelled:
    return Labelled(images.x, images.y.astype(np.int64))
