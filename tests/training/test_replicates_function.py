from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from specs import make_spec
from stacks import diverged, ended, evaluated

from tune_app.errors import TaskError
from tune_app.space import Config
from tune_app.tasks.task import Context
from tune_app.training.replicates import FunctionReplicates, Replicates, ReplicateTest


def train(replicates: Replicates, epochs: int = 3) -> dict[int, list[Mapping[str, float]]]:
    """Each replicate's metrics, epoch by epoch, by its place."""
    found = [replicates.step() for _ in range(epochs)]
    return {place: list(each) for place, each in enumerate(zip(*found, strict=True))}


def metrics(outcomes: Sequence[ReplicateTest | None]) -> list[dict[str, float] | None]:
    return [outcome.metrics if outcome else None for outcome in outcomes]


def curve(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
    """Rises to epoch 2 and falls; its test metric tells the epoch."""
    for epoch in range(1, 5):
        value = context.replicate + 1 / (1 + abs(epoch - 2))
        yield {"val_accuracy": value, "test_accuracy": epoch, "test_other": context.seed % 100}


def generated(
    function: Callable[[Config, Context], Any], *numbers: int, epochs: int = 4, **options: Any
) -> FunctionReplicates:
    spec = make_spec({"lr": 1}, numbers or (0,), epochs=epochs, **options)
    return FunctionReplicates(spec, function, "cpu")


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
    assert evaluated(group) == [4, 4]
    outcomes = group.test()
    assert [m and m["test_accuracy"] for m in metrics(outcomes)] == [4, 4]
    assert [set(m or {}) for m in metrics(outcomes)] == [{"test_accuracy", "test_other"}] * 2
    assert [outcome.scores.size for outcome in outcomes if outcome] == [0, 0]


@pytest.mark.parametrize(("sign", "epoch"), [(1, 2), (-1, 4)])
def test_the_best_epochs_test_metrics_are_kept(sign: int, epoch: int) -> None:
    group = generated(curve, keep_best=("val_accuracy", sign))
    train(group, 4)
    assert evaluated(group) == [epoch]
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
    assert (group.epoch, ended(group), evaluated(group)) == (3, [2, 3], [2, 3])
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

    group = generated(task, 0, 1, stop_metric=("train_loss", -1))
    found = train(group, 3)
    assert [each.diverged for each in group.all] == ["", f"{name} was {value:g}"]
    assert [each.get("val_accuracy") for each in found[0]] == [0.1, 0.2, 0.3]
    assert [each.get("val_accuracy") for each in found[1]] == [0.1, None, None]
    assert diverged(group) == [None, 2]
    assert metrics(group.test()) == [{"test_accuracy": 0.3}, None]


@pytest.mark.parametrize("name", ["val_auc", "train_loss", "test_accuracy"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e101])
def test_a_non_finite_metric_that_ranks_nothing_is_only_missing(name: str, value: float) -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        for _ in range(2):
            yield {"val_accuracy": 0.1, name: value}

    group = generated(task, epochs=2)
    assert train(group, 2)[0][1]["val_accuracy"] == 0.1
    assert diverged(group) == [None]


def test_what_a_function_raises_is_not_touched() -> None:
    def task(config: Config, context: Context) -> Iterator[Mapping[str, float]]:
        yield {"val_accuracy": 1.0}
        raise ValueError("mine")

    group = generated(task)
    group.step()
    with pytest.raises(ValueError, match="mine"):
        group.step()
