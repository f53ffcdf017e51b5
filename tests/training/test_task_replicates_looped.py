from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from process_state import process
from specs import make_spec
from stacks import diverged, durations, evaluated

from tune_app.data import Dataset
from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplits
from tune_app.training.replicates import Replicates, ReplicateTest
from tune_app.training.task_replicates import Looped

CONFIG: Config = {"lr": 1e-3, "step_size": 2, "batch_size": 8, "nodes": 8, "dropout": 0.3}
CONFIGS: list[Config] = [
    CONFIG,
    {**CONFIG, "loss": "ce", "optimizer": "adamw"},
    {**CONFIG, "optimizer": "sgd", "lr": 1e-4},
]


@pytest.fixture(scope="module")
def splits(tiny: Dataset) -> DeviceSplits:
    torch.set_num_threads(1)
    return DeviceSplits.load(Pneumonia().splits(tiny), "cpu")


def train(replicates: Replicates, epochs: int = 3) -> dict[int, list[Mapping[str, float]]]:
    """Each replicate's metrics, epoch by epoch, by its place."""
    found = [replicates.step() for _ in range(epochs)]
    return {place: list(each) for place, each in enumerate(zip(*found, strict=True))}


def metrics(outcomes: Sequence[ReplicateTest | None]) -> list[dict[str, float] | None]:
    return [outcome.metrics if outcome else None for outcome in outcomes]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_replicate_is_the_same_alone_beside_others_and_in_any_order(
    splits: DeviceSplits, config: Config
) -> None:
    def looped(*numbers: int) -> tuple[dict[int, Any], dict[int, Any]]:
        group = Looped(make_spec(config, numbers), Pneumonia(), splits)
        found = train(group)
        tests = metrics(group.test())
        assert group.epoch == 3
        assert len(durations(group)) == len(numbers)
        assert min(durations(group)) > 0
        return {r: found[i] for i, r in enumerate(numbers)}, dict(zip(numbers, tests, strict=True))

    together = looped(0, 1, 2)
    groups: list[tuple[int, ...]] = [(2, 0, 1), (1, 2), (0,), (1,), (2,)]
    for numbers in groups:
        found, tests = looped(*numbers)
        for r in numbers:
            assert found[r] == together[0][r]
            assert tests[r] == together[1][r]
    assert len({str(found) for found in together[0].values()}) == 3, "replicates differ"


class Fragile(Pneumonia):
    """A model that, for about half of its draws, blows up in its first epoch."""

    def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
        made = super().model(config, shape)
        if torch.rand(()) < 0.5:
            with torch.no_grad():
                for parameter in made.parameters():
                    parameter.mul_(1e20)
        return made


def test_a_replicate_that_diverges_freezes_and_the_others_go_on(splits: DeviceSplits) -> None:
    group = Looped(make_spec(CONFIG, range(6)), Fragile(), splits)
    found = train(group)
    gone = [at is not None for at in diverged(group)]
    assert {True, False} == set(gone)
    assert set(diverged(group)) == {1, None}
    tests = group.test()
    for r, froze in enumerate(gone):
        alone = Looped(make_spec(CONFIG, [r]), Fragile(), splits)
        assert found[r] == train(alone)[0]
        assert any(found[r]) != froze
        assert (tests[r] is None) == froze
    assert {e for e, froze in zip(evaluated(group), gone, strict=True) if not froze} == {3}


class Noisy(torch.nn.Module):
    """Draws from all three generators, in training and in validation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (random.random() + np.random.rand() + torch.rand(()))


class Careless(Pneumonia):
    """Draws wherever it can, changes its configuration, and sets what is global."""

    def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
        own = dict(config, nodes=random.randint(4, 8) + np.random.randint(4))
        cast(dict[str, Any], config).clear()
        torch.set_float32_matmul_precision("high")
        return torch.nn.Sequential(Noisy(), super().model(own, shape))

    def optimizer(self, config: Config, params: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        assert torch.get_float32_matmul_precision() == "high"
        cast(dict[str, Any], config)["lr"] *= random.random()
        return super().optimizer(config, params)


def test_a_task_that_draws_and_changes_its_configuration_comes_out_the_same(splits: DeviceSplits) -> None:
    before = process()
    config = dict(CONFIG)
    alone = [train(Looped(make_spec(config, [r]), Careless(), splits), 4)[0] for r in range(3)]
    assert train(Looped(make_spec(config, [2, 0, 1]), Careless(), splits), 4) == {
        place: alone[r] for place, r in enumerate((2, 0, 1))
    }
    first = Looped(make_spec(config, [0, 1]), Careless(), splits)
    train(first, 2)
    resumed = Looped(make_spec(config, [1]), Careless(), splits)
    resumed.load(first.state()[1:])
    assert train(resumed, 2)[0] == alone[1][2:]
    assert len({str(each) for each in alone}) == 3
    assert (config, process()) == (CONFIG, before)
