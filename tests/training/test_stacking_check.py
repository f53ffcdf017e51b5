"""What can be stacked, and what is said of the rest."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from specs import make_spec
from torch import Tensor, nn, optim

from tune_app.data import Dataset
from tune_app.space import Config
from tune_app.sweep.events import Numerics
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplit, DeviceSplits
from tune_app.training.stacking_check import ELEMENTWISE, why_not_stackable

Optimizer = optim.Optimizer
CONFIG: Config = {"lr": 1e-3, "batch_size": 8, "nodes": 8}


@pytest.fixture(scope="module")
def splits(tiny: Dataset) -> DeviceSplits:
    torch.set_num_threads(1)
    return DeviceSplits.load(Pneumonia().splits(tiny), "cpu")


def why(
    splits: DeviceSplits,
    model: Callable[[], nn.Module] | None = None,
    optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    config: Config = CONFIG,
) -> str | None:
    """What ``why_not_stackable`` says of a task with this model and this optimiser."""

    class Task(Pneumonia):
        def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
            return model() if model else super().model(config, shape)

        def optimizer(self, config: Config, params: Iterable[nn.Parameter]) -> Optimizer:
            return optimizer(list(params)) if optimizer else super().optimizer(config, params)

    return why_not_stackable(make_spec(config), Task(), splits)


def layers(*inner: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), *inner, nn.Linear(8, 1))


class Wrapped(nn.Module):
    """``between`` is called with this module and what is between two layers."""

    def __init__(self, between: Callable[[Any, Tensor], Tensor], **attributes: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(36, 8), nn.Linear(8, 1)
        self.between = between
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.between(self, self.first(x.flatten(1))))
        return logits


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        {**CONFIG, "loss": "ce"},
        {**CONFIG, "hidden_layers": 0},
        *({**CONFIG, "optimizer": name, "momentum": 0.9} for name in ("adam", "adamw", "sgd")),
    ],
)
def test_the_papers_model_can_be_stacked(splits: DeviceSplits, config: Config) -> None:
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    for precision in ("float32", "bf16"):
        spec = make_spec(config, numerics=Numerics(precision=precision))
        assert why_not_stackable(spec, Pneumonia(), splits) is None
    assert (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()) == before


STACKABLE: Mapping[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: layers(nn.LayerNorm(8)),
    "dropout of none": lambda: layers(nn.Dropout(0.0)),
    "batch norm without statistics": lambda: layers(nn.BatchNorm1d(8, track_running_stats=False)),
    "bilinear": lambda: Wrapped(lambda m, x: m.inner(x, x), inner=nn.Bilinear(8, 8, 8)),
    # the gradient of this bias is nothing but rounding: other numbers in a stack than by itself
    "a bias that a norm takes away": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv2d(1, 4, 3), nn.GroupNorm(4, 4), nn.Flatten(), nn.Linear(64, 1)
    ),
}


@pytest.mark.parametrize("name", STACKABLE)
def test_so_can_what_is_the_same_for_every_input_and_step(splits: DeviceSplits, name: str) -> None:
    assert why(splits, STACKABLE[name]) is None


def hooked(params: list[nn.Parameter]) -> Optimizer:
    made = optim.Adam(params)
    made.register_step_pre_hook(lambda *_: None)
    return made


class Scaled(nn.Module):
    """Its random features are no buffer, so nothing tells that each replicate has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.randn(36, 8)
        self.last = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(x.flatten(1) @ self.features)
        return logits


class Uneven(nn.Sequential):
    """As many nodes as are drawn."""

    def __init__(self) -> None:
        nodes = int(torch.randint(8, 1000, ()))
        super().__init__(nn.Flatten(), nn.Linear(36, nodes), nn.Linear(nodes, 1))


class Remembering(nn.Linear):
    def get_extra_state(self) -> Any:
        return {"seen": 1}

    def set_extra_state(self, state: Any) -> None: ...


class Counting(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x / self.count


def numpy_noise(_: Any, x: Tensor) -> Tensor:
    return x + float(np.random.rand())


def python_noise(_: Any, x: Tensor) -> Tensor:
    return x + random.random()


def eval_noise(module: Any, x: Tensor) -> Tensor:
    return x if module.training else x + torch.rand_like(x)


MODELS: Mapping[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout": (lambda: layers(nn.Dropout(0.3)), "Dropout 2 draws random numbers"),
    "alpha": (lambda: layers(nn.AlphaDropout(0.3)), "AlphaDropout 2 draws random numbers"),
    "batch norm": (lambda: layers(nn.BatchNorm1d(8)), "BatchNorm1d 2 keeps running statistics"),
    "counting": (lambda: layers(Counting()), "it changes its buffers while it trains"),
    "functional": (
        lambda: Wrapped(lambda m, x: nn.functional.dropout(x, 0.5, m.training)),
        "it draws random numbers while it trains",
    ),
    "torch": (lambda: Wrapped(lambda _, x: x + torch.rand_like(x)), "it draws random numbers"),
    "numpy": (lambda: Wrapped(numpy_noise), "it draws random numbers"),
    "python": (lambda: Wrapped(python_noise), "it draws random numbers"),
    "in evaluation": (lambda: Wrapped(eval_noise), "it draws random numbers"),
    "an if": (
        lambda: Wrapped(lambda _, x: x if x.sum() > 0 else -x),
        "its code depends on the values of tensors",
    ),
    "an item": (
        lambda: Wrapped(lambda _, x: x * x.mean().item()),
        "its code depends on the values of tensors",
    ),
    "numpy inside": (
        lambda: Wrapped(lambda _, x: x * float(x.detach().numpy().mean())),
        "it raises",
    ),
    "attribute": (Scaled, "it computes other numbers when stacked than alone"),
    "uneven": (Uneven, "its replicates are not built alike"),
    "lazy": (lambda: layers(nn.LazyLinear(8)), "it raises"),
    "extra state": (lambda: layers(Remembering(8, 8)), "its state is more than parameters and buffers"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_be_stacked_is_told(splits: DeviceSplits, name: str) -> None:
    model, words = MODELS[name]
    assert words in (why(splits, model) or "it can be")


class MyAdam(optim.Adam):
    """Who knows what it does."""


def by_shape(params: list[nn.Parameter]) -> Optimizer:
    wide, flat = ([p for p in params if (p.dim() > 1) is wanted] for wanted in (True, False))
    groups: list[dict[str, Any]] = [{"params": wide, "weight_decay": 0.1}, {"params": flat}]
    return optim.AdamW([group for group in groups if group["params"]])


def by_place(params: list[nn.Parameter]) -> Optimizer:
    groups: list[dict[str, Any]] = [{"params": params[::2], "weight_decay": 0.1}, {"params": params[1::2]}]
    return optim.AdamW(groups)


def by_size(params: list[nn.Parameter]) -> Optimizer:
    return optim.SGD(params, lr=1 / params[0].numel())


def foreign(params: list[nn.Parameter]) -> Optimizer:
    return optim.SGD([*params, nn.Parameter(torch.zeros(1))], lr=1.0)


OPTIMIZERS: Mapping[str, tuple[Callable[[list[nn.Parameter]], Optimizer], str]] = {
    "lbfgs": (optim.LBFGS, "LBFGS is not known to treat each element"),
    "adafactor": (optim.Adafactor, "Adafactor is not known"),
    "muon": (lambda params: optim.Muon([p for p in params if p.dim() == 2]), "Muon is not known"),
    "mine": (MyAdam, "MyAdam is not known"),
    "hooks": (hooked, "its optimiser has hooks"),
    "by shape": (by_shape, "its optimiser uses the shapes of the parameters"),
    "by size": (by_size, "its optimiser uses the shapes of the parameters"),
    "foreign": (foreign, "its optimiser changes other tensors than the parameters"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_that_cannot_be_stacked_is_told(splits: DeviceSplits, name: str) -> None:
    optimizer, words = OPTIMIZERS[name]
    assert words in (why(splits, optimizer=optimizer) or "it can be")


@pytest.mark.parametrize("kind", sorted(ELEMENTWISE, key=str))
def test_elementwise_optimisers_can(splits: DeviceSplits, kind: Callable[..., Optimizer]) -> None:
    assert why(splits, optimizer=lambda params: kind(params, lr=0.01)) is None


def test_so_can_groups_that_do_not_hang_on_shapes(splits: DeviceSplits) -> None:
    assert why(splits, optimizer=by_place) is None


def test_what_fails_by_itself_is_left_for_training_to_tell(splits: DeviceSplits) -> None:
    found = why(splits, lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 1)))
    assert (found or "").startswith("it raises RuntimeError: mat1 and mat2 shapes cannot be multiplied")


def test_fewer_images_than_are_tried_will_do(splits: DeviceSplits) -> None:
    one = DeviceSplit(splits.train.x[:1], splits.train.y[:1])
    assert why_not_stackable(make_spec(CONFIG), Pneumonia(), DeviceSplits(one, one, one)) is None
