from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from process_state import process

from tune_app.data import Dataset
from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Context
from tune_app.training.learner import DeviceSplits
from tune_app.training.looped import Looped
from tune_app.training.replicates import Generated, Outcome, Replicates

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


def metrics(outcomes: Sequence[Outcome | None]) -> list[dict[str, float] | None]:
    return [outcome.metrics if outcome else None for outcome in outcomes]


# ---------------------------------------------------------------- Looped


@pytest.mark.parametrize("config", CONFIGS)
def test_a_replicate_is_the_same_alone_beside_others_and_in_any_order(
    splits: DeviceSplits, config: Config
) -> None:
    def looped(*numbers: int) -> tuple[dict[int, Any], dict[int, Any]]:
        group = Looped(Pneumonia(), config, splits, 0, numbers, 3)
        found = train(group)
        tests = metrics(group.test())
        assert group.epoch == 3
        assert len(group.durations_s) == len(numbers)
        assert min(group.durations_s) > 0
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
    group = Looped(Fragile(), CONFIG, splits, 0, range(6), 3)
    found = train(group)
    gone = [at is not None for at in group.diverged()]
    assert {True, False} == set(gone)
    assert set(group.diverged()) == {1, None}
    tests = group.test()
    for r, diverged in enumerate(gone):
        alone = Looped(Fragile(), CONFIG, splits, 0, [r], 3)
        assert found[r] == train(alone)[0]
        assert any(found[r]) != diverged
        assert (tests[r] is None) == diverged
    assert {e for e, diverged in zip(group.evaluated(), gone, strict=True) if not diverged} == {3}


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
    alone = [train(Looped(Careless(), config, splits, 0, [r], 4), 4)[0] for r in range(3)]
    assert train(Looped(Careless(), config, splits, 0, [2, 0, 1], 4), 4) == {
        place: alone[r] for place, r in enumerate((2, 0, 1))
    }
    first = Looped(Careless(), config, splits, 0, [0, 1], 4)
    train(first, 2)
    resumed = Looped(Careless(), config, splits, 0, [1], 4)
    resumed.load(first.state()[1:])
    assert train(resumed, 2)[0] == alone[1][2:]
    assert len({str(each) for each in alone}) == 3
    assert (config, process()) == (CONFIG, before)


# ---------------------------------------------------------------- Generated


def curve(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
    """Rises to epoch 2 and falls; its test metric tells the epoch."""
    for epoch in range(1, 5):
        value = context.replicate + 1 / (1 + abs(epoch - 2))
        yield {"val_accuracy": value, "test_accuracy": epoch, "test_other": context.seed % 100}


def generated(
    function: Callable[[Config, Context], Any], *numbers: int, epochs: int = 4, **options: Any
) -> Generated:
    return Generated(function, {"lr": 1}, 0, numbers or (0,), epochs, "cpu", **options)


def test_a_function_sees_its_configuration_and_context() -> None:
    seen: list[tuple[Config, Context]] = []

    def spy(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        seen.append((config, context))
        yield {"val_accuracy": 1}

    group = generated(spy, 3, 5, epochs=1)
    assert group.step() == [{"val_accuracy": 1.0}, {"val_accuracy": 1.0}]
    (config, one), (_, other) = seen
    assert config == {"lr": 1}
    assert (one.replicate, other.replicate, one.epochs, one.device) == (3, 5, 1, "cpu")
    assert one.seed != other.seed


def test_test_metrics_are_held_back_until_the_end() -> None:
    group = generated(curve, 0, 1)
    found = train(group, 4)
    assert all(set(each) == {"val_accuracy"} for epochs in found.values() for each in epochs)
    assert group.evaluated() == [4, 4]
    outcomes = group.test()
    assert [m and m["test_accuracy"] for m in metrics(outcomes)] == [4, 4]
    assert [set(m or {}) for m in metrics(outcomes)] == [{"test_accuracy", "test_other"}] * 2
    assert [outcome.scores.size for outcome in outcomes if outcome] == [0, 0]


@pytest.mark.parametrize(("sign", "epoch"), [(1, 2), (-1, 4)])
def test_the_best_epochs_test_metrics_are_kept(sign: int, epoch: int) -> None:
    group = generated(curve, keep_best=("val_accuracy", sign))
    train(group, 4)
    assert group.evaluated() == [epoch]
    assert metrics(group.test())[0] == {"test_accuracy": epoch, "test_other": pytest.approx(50, abs=50)}


def test_a_function_that_ends_early_has_finished_with_its_last_metrics() -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        for epoch in range(1, 3 + context.replicate):
            yield {"val_accuracy": epoch, "test_accuracy": epoch}

    group = generated(task, 0, 1, epochs=9)
    found = [group.step() for _ in range(4)]
    assert [[each.get("val_accuracy") for each in epoch] for epoch in found] == [
        [1, 1],
        [2, 2],
        [None, 3],
        [None, None],
    ]
    assert (group.epoch, group.ended(), group.evaluated()) == (3, [2, 3], [2, 3])
    assert metrics(group.test()) == [{"test_accuracy": 2}, {"test_accuracy": 3}]


def test_a_function_that_yields_nothing_is_told() -> None:
    with pytest.raises(TaskError):
        generated(lambda config, context: iter(())).step()


@pytest.mark.parametrize("more", [0, 1, 99])
def test_code_after_the_last_yield_runs(more: int) -> None:
    """However many epochs the function would yield: it is closed where it asks for more than are wanted."""
    ran: list[str] = []

    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        try:
            for epoch in range(context.epochs + more):
                yield {"val_accuracy": epoch}
            ran.append("end")
        finally:
            ran.append("finally")

    group = generated(task, epochs=2)
    train(group, 2)
    assert ran == ["end", "finally"][bool(more) :]
    group.close()
    assert ran.count("finally") == 1


def test_a_trial_that_is_stopped_has_its_functions_clean_up() -> None:
    closed: list[int] = []

    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        try:
            while True:
                yield {"val_accuracy": 1}
        finally:
            closed.append(context.replicate)
            raise ValueError("of the clean-up, which ends no sweep")

    group = generated(task, 0, 1, epochs=9)
    group.step()
    with contextlib.redirect_stderr(io.StringIO()) as told:
        group.close()
    assert closed == [0, 1]
    assert told.getvalue().count("\nValueError") == 2


@pytest.mark.parametrize(
    ("yielded", "words"),
    [
        (0.5, r"\b0\.5\b.*mapping"),
        (None, "None.*mapping"),
        ({"val_accuracy": "high"}, "val_accuracy='high'"),
        ({"val_accuracy": None}, "val_accuracy=None"),
        ({"val_accuracy": [1]}, r"val_accuracy=\[1\]"),
        ({"epoch": 3}, '"epoch".*val_epoch'),
        ({"lr": 0.1}, '"lr".*parameter'),
    ],
)
def test_what_is_no_metric_is_told(yielded: Any, words: str) -> None:
    def task(config: Config, context: Context) -> Iterator[Any]:
        yield yielded

    with pytest.raises(TaskError, match=words):
        generated(task).step()


def test_numbers_of_numpy_and_torch_become_plain() -> None:
    def task(config: Config, context: Context) -> Iterator[Any]:
        yield {"a": np.float32(0.5), "b": torch.tensor(2), "c": True, "d": np.int64(3)}

    [found] = generated(task).step()
    assert found == {"a": 0.5, "b": 2.0, "c": 1.0, "d": 3.0}
    assert {type(value) for value in found.values()} == {float}


@pytest.mark.parametrize("name", ["val_accuracy", "train_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e101])
def test_a_non_finite_metric_freezes_its_replicate_alone(name: str, value: float) -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        yield {"val_accuracy": 0.1, "test_accuracy": 0.1}
        yield {"val_accuracy": 0.2} | ({name: value} if context.replicate else {})
        yield {"val_accuracy": 0.3, "test_accuracy": 0.3}

    group = generated(task, 0, 1, needed=("val_accuracy", "train_loss"))
    found = train(group, 3)
    assert [group.why(0), group.why(1)] == ["", f"{name} was {value:g}"]
    assert [each.get("val_accuracy") for each in found[0]] == [0.1, 0.2, 0.3]
    assert [each.get("val_accuracy") for each in found[1]] == [0.1, None, None]
    assert group.diverged() == [None, 2]
    assert metrics(group.test()) == [{"test_accuracy": 0.3}, None]


@pytest.mark.parametrize("name", ["val_auc", "train_loss", "test_accuracy"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e101])
def test_a_non_finite_metric_that_ranks_nothing_is_only_missing(name: str, value: float) -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        for _ in range(2):
            yield {"val_accuracy": 0.1, name: value}

    group = generated(task, needed=("val_accuracy",), epochs=2)
    assert train(group, 2)[0][1]["val_accuracy"] == 0.1
    assert group.diverged() == [None]


def test_what_a_function_raises_is_not_touched() -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        yield {"val_accuracy": 1.0}
        raise ValueError("mine")

    group = generated(task)
    group.step()
    with pytest.raises(ValueError, match="mine"):
        group.step()
