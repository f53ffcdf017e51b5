"""Weights, optimisers and states of a stack."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import stacks
import torch
from stacks import (
    CONFIG,
    EPOCHS,
    Cnn,
    Mlp,
    assert_close,
    evaluated,
    leaves,
    make,
    through_a_file,
    train,
)
from torch import nn

from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplits
from tune_app.training.models import load_optimizer
from tune_app.training.task_replicates import Looped, Stacked

one_thread, splits, double = stacks.one_thread, stacks.splits, stacks.double


class Tied(Mlp):
    """Two layers that share their weights, and a third that is not trained."""

    def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
        first, second, third = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 36)
        second.weight = first.weight
        third.requires_grad_(False)
        inner = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        return nn.Sequential(nn.Flatten(), inner, nn.Linear(36, 1)).double()


def test_shared_and_frozen_weights_stay_so(double: DeviceSplits) -> None:
    config = {**CONFIG, "lr": 1e-4}
    stack, loop = (make(kind, Tied(), double, (0, 1), config) for kind in (Stacked, Looped))
    start = stack.state()[0]["model"]["1.4.weight"]
    assert_close(train(stack), train(loop))
    assert_close(stack.state(), loop.state())
    model = stack.state()[0]["model"]
    assert torch.equal(model["1.0.weight"], model["1.2.weight"])
    assert torch.equal(model["1.4.weight"], start)
    again = make(Stacked, Tied(), double, (0, 1), config)
    again.load(through_a_file(loop.state()))
    assert_close(train(again), train(loop))


OTHERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "Adadelta": (torch.optim.Adadelta, {"lr": 0.1}),
    "Adagrad": (torch.optim.Adagrad, {"lr": 0.01}),
    "Adamax": (torch.optim.Adamax, {}),
    "AMSGrad": (torch.optim.Adam, {"amsgrad": True, "foreach": True}),
    "ASGD": (torch.optim.ASGD, {"lr": 1e-4}),
    "NAdam": (torch.optim.NAdam, {}),
    "RAdam": (torch.optim.RAdam, {}),
    "RMSprop": (torch.optim.RMSprop, {"centered": True, "momentum": 0.5, "lr": 1e-4}),
    "Rprop": (torch.optim.Rprop, {"lr": 1e-4}),
}


class Other(Cnn):
    """Another optimiser, and a schedule that moves momenta too."""

    def optimizer(self, config: Config, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        kind, options = OTHERS[str(config["optimizer"])]
        return kind(params, **options)

    def scheduler(self, config: Config, optimizer: torch.optim.Optimizer) -> Any:
        cycled = config["optimizer"] == "NAdam"
        if cycled:
            return torch.optim.lr_scheduler.CyclicLR(
                optimizer, 1e-4, 1e-3, step_size_up=2, cycle_momentum=True, base_momentum=0.8
            )
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)


@pytest.mark.parametrize("optimizer", OTHERS)
def test_every_elementwise_optimiser_can_be_stacked_split_and_put_together(
    double: DeviceSplits, optimizer: str
) -> None:
    config: Config = {**CONFIG, "optimizer": optimizer}
    whole = make(Looped, Other(), double, (0, 1, 2), config)
    expected = train(whole, 4)
    stack = make(Stacked, Other(), double, (0, 1, 2), config)
    assert_close(train(stack, 2), [each[:2] for each in expected], 1e-7)
    dealt = through_a_file(stack.state())
    rest = make(Stacked, Other(), double, (2, 0), config)
    rest.load([dealt[2], dealt[0]])
    assert_close(train(rest, 2), [expected[2][2:], expected[0][2:]], 1e-7)
    alone = make(Looped, Other(), double, (1,), config)
    alone.load([dealt[1]])
    assert_close(train(alone, 2), [expected[1][2:]], 1e-7)


@pytest.mark.parametrize("keep_best", [None, ("val_loss", -1)])
@pytest.mark.parametrize("stop_at", range(EPOCHS + 1))
def test_a_stack_goes_on_from_its_states_to_the_last_digit(
    splits: DeviceSplits, stop_at: int, keep_best: tuple[str, int] | None
) -> None:
    whole = make(Stacked, Pneumonia(), splits, (0, 1, 2), keep_best=keep_best)
    expected = train(whole)
    first = make(Stacked, Pneumonia(), splits, (0, 1, 2), keep_best=keep_best)
    train(first, stop_at)
    second = make(Stacked, Pneumonia(), splits, (0, 1, 2), keep_best=keep_best)
    second.load(through_a_file(first.state()))
    assert (second.epoch, evaluated(second)) == (stop_at, evaluated(first))
    assert train(second, EPOCHS - stop_at) == [each[stop_at:] for each in expected]
    assert_close(second.state(), whole.state(), 0)
    for mine, its in zip(second.test(), whole.test(), strict=True):
        assert mine
        assert its
        assert mine.metrics == its.metrics
        assert np.array_equal(mine.scores, its.scores)


@pytest.mark.parametrize("keep_best", [None, ("val_loss", -1)])
@pytest.mark.parametrize("kinds", [(Stacked, Stacked), (Stacked, Looped), (Looped, Stacked)])
def test_states_can_be_dealt_into_other_stacks_and_loops(
    double: DeviceSplits,
    kinds: tuple[type[Looped] | type[Stacked], type[Looped] | type[Stacked]],
    keep_best: tuple[str, int] | None,
) -> None:
    expected = make(Looped, Cnn(), double, range(5), keep_best=keep_best)
    course = train(expected, 4)
    five = make(kinds[0], Cnn(), double, range(5), keep_best=keep_best)
    train(five, 2)
    dealt = through_a_file(five.state())
    three = make(kinds[1], Cnn(), double, (4, 0, 2), keep_best=keep_best)
    three.load([dealt[4], dealt[0], dealt[2]])
    two = make(kinds[0], Cnn(), double, (3, 1), keep_best=keep_best)
    two.load([dealt[3], dealt[1]])
    assert_close(train(three, 2), [course[r][2:] for r in (4, 0, 2)])
    assert_close(train(two, 2), [course[r][2:] for r in (3, 1)])
    a, b = three.state(), two.state()
    together = make(kinds[1], Cnn(), double, range(5), keep_best=keep_best)
    together.load(through_a_file([a[1], b[1], a[2], b[0], a[0]]))
    assert_close(together.state(), expected.state())
    assert evaluated(together) == evaluated(expected)
    assert_close(train(together, 1), train(expected, 1))


def test_states_are_of_their_own(splits: DeviceSplits) -> None:
    """A state must not change when training goes on, nor hold more than its replicate in a file."""
    stack = make(Stacked, Pneumonia(), splits, (0, 1))
    train(stack, 1)
    states = stack.state()
    kept = through_a_file(states)
    train(stack, 1)
    assert_close(states, kept, 0)
    for tensor in leaves(states).values():
        if isinstance(tensor, torch.Tensor):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_an_optimisers_state_lies_in_memory_as_its_parameters_do() -> None:
    """Fused steps go by the order in memory, and a state comes from wherever."""

    def adam(layout: torch.memory_format) -> torch.optim.Optimizer:
        weight = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=layout)
        made = torch.optim.Adam([torch.nn.Parameter(weight)], fused=True)
        made.param_groups[0]["params"][0].grad = weight.clone() - 12
        return made

    plain, strided = adam(torch.contiguous_format), adam(torch.channels_last)
    plain.step()
    load_optimizer(strided, plain.state_dict())
    [(parameter, values)] = strided.state.items()
    assert values["exp_avg"].stride() == parameter.stride() != values["exp_avg"].contiguous().stride()
    assert torch.equal(values["exp_avg"], next(iter(plain.state.values()))["exp_avg"])


def test_a_stack_that_is_given_up_frees_its_memory_at_once(splits: DeviceSplits) -> None:
    """On a GPU, memory that waits for a collection of garbage is lacking elsewhere."""
    group = make(Stacked, Pneumonia(), splits, (0, 1, 2))
    train(group, 1)
    gc.disable()
    try:
        before = weakref.ref(next(iter(group._groups[0].models.leaves().values())))  # type: ignore[attr-defined]
        group.end(1, "patience")
        assert before() is None
    finally:
        gc.enable()
