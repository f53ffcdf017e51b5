"""The contract of a stack: each replicate comes out as it does by itself, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import stacks
import torch
from specs import make_spec
from stacks import (
    CONFIG,
    EPOCHS,
    OPTIMIZERS,
    TASKS,
    Cnn,
    Mlp,
    assert_close,
    diverged,
    durations,
    ended,
    evaluated,
    make,
    through_a_file,
    train,
)
from torch import nn

from tune_app.data import Dataset
from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplits
from tune_app.training.replicates import Replicates
from tune_app.training.task_replicates import Looped, Stacked

one_thread, splits, double = stacks.one_thread, stacks.splits, stacks.double


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("task", TASKS)
def test_a_replicate_of_a_stack_comes_out_as_by_itself(
    double: DeviceSplits, task: str, optimizer: str
) -> None:
    config = {**CONFIG, **OPTIMIZERS[optimizer]}
    numbers = (4, 0, 2)
    stack = make(Stacked, TASKS[task](), double, numbers, config)
    found = train(stack)
    for place, replicate in enumerate(numbers):
        alone = make(Looped, TASKS[task](), double, [replicate], config)
        assert_close(found[place], train(alone)[0])
        assert_close(stack.state()[place], alone.state()[0])
        assert_close(stack.weights()[place], alone.weights()[0])
        mine, its = stack.test()[place], alone.test()[0]
        assert mine
        assert its
        assert_close(mine.metrics, its.metrics)
        assert np.allclose(mine.scores, its.scores, atol=1e-6)
    assert stack.epoch == EPOCHS
    assert evaluated(stack) == [EPOCHS] * 3
    assert diverged(stack) == [None] * 3
    assert len(durations(stack)) == 3
    assert min(durations(stack)) > 0
    first, second, _ = stack.state()
    assert (first["model"]["last.bias" if task == "cnn" else "1.bias"] != 0).any()
    assert not torch.equal(*(next(iter(each["model"].values())) for each in (first, second)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_single_precision_the_accuracy_is_the_same_within_a_point(tiny: Dataset, optimizer: str) -> None:
    splits = Pneumonia().splits(tiny)
    repeated = DeviceSplits.load(splits, "cpu")
    config = {**CONFIG, **OPTIMIZERS[optimizer]}
    stack = make(Stacked, Pneumonia(), repeated, range(5), config)
    loop = make(Looped, Pneumonia(), repeated, range(5), config)
    for mine, its in zip(train(stack, 6), train(loop, 6), strict=True):
        assert mine[-1]["train_accuracy"] == pytest.approx(its[-1]["train_accuracy"], abs=0.01)
        assert mine[-1]["val_accuracy"] == pytest.approx(its[-1]["val_accuracy"], abs=0.01)


@pytest.mark.parametrize("size", [1, 7, 25, 99])
def test_whatever_the_batch(double: DeviceSplits, size: int) -> None:
    config = {**CONFIG, "batch_size": size, "test_batch_size": size}
    stack, loop = (make(kind, Mlp(), double, (0, 1), config) for kind in (Stacked, Looped))
    assert_close(train(stack, 2), train(loop, 2))
    assert_close(stack.state(), loop.state())


def test_a_stack_of_one(double: DeviceSplits) -> None:
    stack, loop = (make(kind, Cnn(), double, (3,)) for kind in (Stacked, Looped))
    assert_close(train(stack), train(loop))


class Clipped(Mlp):
    """Clips the gradients of each replicate to a norm that all exceed."""

    def clip_norm(self, config: Config) -> float | None:
        norm: Any = config.get("clip", 0.5)
        return norm if norm is None else float(norm)


def test_gradients_are_clipped_replicate_by_replicate(double: DeviceSplits) -> None:
    config = {**CONFIG, "optimizer": "sgd", "lr": 0.1}
    stack, loop = (make(kind, Clipped(), double, (0, 1, 2), config) for kind in (Stacked, Looped))
    found = train(stack)
    assert_close(found, train(loop))
    assert_close(stack.state(), loop.state())
    free = make(Stacked, Clipped(), double, (0, 1, 2), {**config, "clip": None})
    assert [each[0]["train_loss"] for each in train(free)] != [each[0]["train_loss"] for each in found]


@pytest.mark.parametrize("kind", [Looped, Stacked])
@pytest.mark.parametrize("norm", [0, -1.0])
def test_a_norm_that_is_none_is_told(
    double: DeviceSplits, kind: type[Looped] | type[Stacked], norm: float
) -> None:
    with pytest.raises(TaskError, match=r"clip_norm gave .*; it must be a number above 0, or None"):
        make(kind, Clipped(), double, (0,), {**CONFIG, "clip": norm})


@pytest.mark.parametrize("keep", [None, ("val_loss", -1)])
def test_a_replicate_that_has_ended_stays_as_it_is_while_the_others_go_on(
    double: DeviceSplits, keep: tuple[str, int] | None
) -> None:
    def new(kind: type[Looped] | type[Stacked]) -> Looped | Stacked:
        return kind(make_spec(CONFIG, (0, 1, 2), epochs=30, keep_best=keep), Mlp(), double)

    stack, loop = new(Stacked), new(Looped)
    for group in (stack, loop):
        train(group, 1)
        group.end(1, "patience")
        found = train(group, 1)
        assert [bool(each[-1]) for each in found] == [True, False, True]
        assert (group.epoch, ended(group), diverged(group)) == (2, [None, 1, None], [None] * 3)
        again = new(type(group))
        again.load(through_a_file(group.state()))
        assert ended(again) == ended(group)
        assert evaluated(again) == evaluated(group)
        assert_close(outcomes(again), outcomes(group), 0)
        assert_close(train(again, 1), train(group, 1), 0)
    assert_close(outcomes(stack), outcomes(loop))
    assert_close(stack.weights(), loop.weights())


def outcomes(group: Replicates) -> list[dict[str, float] | None]:
    return [outcome.metrics if outcome else None for outcome in group.test()]


def test_best_is_each_replicates_own(double: DeviceSplits) -> None:
    config = {**CONFIG, "lr": 0.03, "gamma": 1.0}
    keep = ("val_loss", -1)
    stack, loop = (make(kind, Mlp(), double, range(6), config, keep) for kind in (Stacked, Looped))
    found = train(stack, 8)
    train(loop, 8)
    assert evaluated(stack) == evaluated(loop)
    assert evaluated(stack) == [
        1 + [each["val_loss"] for each in one].index(min(each["val_loss"] for each in one)) for one in found
    ]
    assert len(set(evaluated(stack))) > 1, "a case in which they differ"
    assert_close(stack.weights(), loop.weights(), 1e-6)
    mine, its = stack.test(), loop.test()
    assert_close([m and m.metrics for m in mine], [i and i.metrics for i in its], 1e-6)
    assert_close(train(stack, 1), train(loop, 1), 1e-6)


class _Burning(nn.Module):
    """An MLP with a parameter that changes nothing until it is infinite, and is there in training alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.fuse = nn.Parameter((torch.rand(()) < 0.5).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(x)
        return logits + 0 * self.fuse if self.training else logits


class Fragile(Mlp):
    """Replicates of which about half diverge: the fuse grows by a factor in each of an epoch's 4 steps.

    At a growth of 1e80 it is infinite after the last step of the first: no loss tells, only the parameter.
    """

    def model(self, config: Config, shape: tuple[int, ...]) -> nn.Module:
        return _Burning(super().model(config, shape)).double()

    def optimizer(self, config: Config, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        fuse, *others = params
        growth: Any = config["growth"]
        growing: dict[str, Any] = {"params": [fuse], "weight_decay": -1000 * growth}
        return torch.optim.AdamW([{"params": others}, growing], lr=1e-3)

    def clip_norm(self, config: Config) -> float | None:
        return 1.0 if config.get("clip") else None


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("keep_best", [None, ("val_loss", -1)])
@pytest.mark.parametrize(("growth", "epoch"), [(1e200, 1), (1e80, 1), (1e50, 2), (1e30, 3)])
def test_one_that_diverges_freezes_and_leaves_the_others_alone(
    double: DeviceSplits, growth: float, epoch: int, keep_best: tuple[str, int] | None, clip: bool
) -> None:
    config: Config = {**CONFIG, "growth": growth, "clip": clip}
    stack, loop = (make(kind, Fragile(), double, range(6), config, keep_best) for kind in (Stacked, Looped))
    found, expected = train(stack, 5), train(loop, 5)
    gone = diverged(stack)
    assert gone == diverged(loop)
    assert set(gone) == {epoch, None}, "some, not all"
    assert_close(found, expected)
    assert_close(stack.weights(), loop.weights())
    assert_close(stack.state(), loop.state())
    assert evaluated(stack) == evaluated(loop)
    for at, mine, its in zip(gone, stack.test(), loop.test(), strict=True):
        assert (mine is None) == (its is None) == (at is not None)
        if mine and its:
            assert_close(mine.metrics, its.metrics)
    assert [s == 0 for s in durations(stack)] == [at is not None for at in gone]


def test_a_frozen_replicate_stays_as_it_was_through_files_and_stacks(double: DeviceSplits) -> None:
    config: Config = {**CONFIG, "growth": 1e200}
    stack = make(Stacked, Fragile(), double, range(6), config)
    train(stack, 1)
    gone = [place for place, at in enumerate(diverged(stack)) if at]
    before = through_a_file(stack.state())
    train(stack, 2)
    after = stack.state()
    for place in gone:
        assert repr(after[place]) == repr(before[place])
    expected = train(stack, 1)
    for kind in (Stacked, Looped):
        again = make(kind, Fragile(), double, range(6), config)
        again.load(through_a_file(after))
        assert again.epoch == 3
        assert diverged(again) == [1 if place in gone else None for place in range(6)]
        assert_close(train(again, 1), expected)


def test_when_all_have_diverged_nothing_is_left(splits: DeviceSplits) -> None:
    stack = make(Stacked, Pneumonia(), splits, (0, 1), {**CONFIG, "lr": 1e30})
    assert train(stack, 3) == [[{}, {}, {}], [{}, {}, {}]]
    assert (diverged(stack), stack.epoch) == ([1, 1], 3)
    assert stack.test() == stack.weights() == [None, None]
    assert evaluated(stack) == [1, 1]
    again = make(Looped, Pneumonia(), splits, (0, 1), {**CONFIG, "lr": 1e30})
    again.load(through_a_file(stack.state()))
    assert diverged(again) == [1, 1]
    second = make(Stacked, Pneumonia(), splits, (0, 1), {**CONFIG, "lr": 1e30})
    second.load(through_a_file(again.state()))
    assert second.step() == [{}, {}]


def test_a_step_draws_nothing_from_the_global_generators(splits: DeviceSplits) -> None:
    before = torch.random.get_rng_state().tolist()
    train(make(Stacked, Pneumonia(), splits, (0, 1)))
    assert torch.random.get_rng_state().tolist() == before
