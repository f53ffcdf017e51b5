from __future__ import annotations

import io
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from specs import make_spec

from tune_app.data import Dataset
from tune_app.space import Config
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.training.device_data import DeviceSplit, DeviceSplits
from tune_app.training.replicates import Metrics, ReplicateTest
from tune_app.training.task_replicates import Looped

EPOCHS = 4
BASE: Config = {"lr": 1e-3, "step_size": 2, "batch_size": 8, "nodes": 8, "dropout": 0.3}
CONFIGS: list[Config] = [
    BASE,
    {**BASE, "loss": "ce", "optimizer": "adamw", "weight_decay": 0.1},
    {**BASE, "optimizer": "sgd", "momentum": 0.9, "lr": 1e-4},
]
KEEP = [None, ("val_loss", -1)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # models as small as these only wait for more


@pytest.fixture(scope="module")
def splits(tiny: Dataset) -> DeviceSplits:
    return DeviceSplits.load(Pneumonia().splits(tiny), "cpu")


class Alone:
    """One replicate that is looped."""

    def __init__(self, spec: TrialSpec, task: Pneumonia, splits: DeviceSplits) -> None:
        self.group = Looped(spec, task, splits)
        [self.where] = self.group.all

    def step(self) -> Metrics:
        [found] = self.group.step()
        return found

    def test(self) -> ReplicateTest:
        [outcome] = self.group.test()
        assert outcome
        return outcome

    def state(self) -> dict[str, Any]:
        [state] = self.group.state()
        assert isinstance(state, dict)
        return state


def learner(splits: DeviceSplits, config: Config = BASE, replicate: int = 0, **options: Any) -> Alone:
    return Alone(make_spec(config, [replicate], epochs=30, **options), Pneumonia(), splits)


def steps(one: Alone, count: int) -> list[Metrics]:
    return [one.step() for _ in range(count)]


def assert_same(a: ReplicateTest, b: ReplicateTest) -> None:
    assert a.metrics == b.metrics
    assert np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("config", CONFIGS)
def test_global_generators_neither_matter_nor_move(splits: DeviceSplits, config: Config) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
        one = learner(splits, config)
        found.append((steps(one, 2), one.test().metrics))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert str(np.random.get_state()) == before[2]
    assert found[0] == found[1]


def test_sweeps_in_threads_of_one_process_do_not_draw_from_each_others_generators(tiny: Dataset) -> None:
    def sweep(replicate: int) -> list[Metrics]:
        return steps(learner(DeviceSplits.load(Pneumonia().splits(tiny), "cpu"), replicate=replicate), 8)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sweep, range(4))) == [sweep(replicate) for replicate in range(4)]


def test_replicates_and_seeds_differ(splits: DeviceSplits) -> None:
    found = [steps(learner(splits, replicate=r, seed=seed), 1)[0] for r in range(3) for seed in range(2)]
    assert len({tuple(each.values()) for each in found}) == 6


# ---------------------------------------------------------------- resume


@pytest.mark.parametrize("keep_best", KEEP)
@pytest.mark.parametrize("stop_at", range(EPOCHS + 1))
@pytest.mark.parametrize("config", CONFIGS)
def test_a_learner_goes_on_from_its_state_as_if_never_stopped(
    splits: DeviceSplits, config: Config, stop_at: int, keep_best: tuple[str, int] | None
) -> None:
    whole = learner(splits, config, keep_best=keep_best)
    expected = steps(whole, EPOCHS)
    first = learner(splits, config, keep_best=keep_best)
    assert steps(first, stop_at) == expected[:stop_at]
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = learner(splits, config, keep_best=keep_best)
    second.group.load([torch.load(file, weights_only=True)])
    assert (second.where.epoch, second.where.evaluated) == (first.where.epoch, first.where.evaluated)
    assert steps(second, EPOCHS - stop_at) == expected[stop_at:]
    assert second.where.evaluated == whole.where.evaluated
    assert_same(second.test(), whole.test())


def test_a_diverged_learner_stays_so_after_a_resume(splits: DeviceSplits) -> None:
    gone = learner(splits, {**BASE, "lr": 1e30})
    steps(gone, 1)
    second = learner(splits, {**BASE, "lr": 1e30})
    second.group.load([gone.state()])
    assert second.where.diverged
    assert second.step() == {}


# ---------------------------------------------------------------- what an epoch does


def test_an_epoch_reports_training_and_validation_never_test(splits: DeviceSplits) -> None:
    names = ["train_accuracy", "train_loss", *(f"val_{n}" for n in ("accuracy", "loss", "sensitivity"))]
    found = learner(splits).step()
    assert list(found) == [*names, "val_specificity", "val_auc"]
    assert all(isinstance(value, float) for value in found.values())


def test_it_learns(splits: DeviceSplits) -> None:
    one = learner(splits, {**BASE, "dropout": 0.0, "gamma": 1.0, "hidden_layers": 1, "nodes": 32})
    found = steps(one, 30)
    assert found[-1]["train_loss"] < found[0]["train_loss"] / 2
    assert found[-1]["train_accuracy"] > 0.8
    assert one.test().metrics["test_auc"] > 0.9


def test_the_schedule_is_stepped_once_an_epoch(splits: DeviceSplits) -> None:
    config = {**BASE, "step_size": 2, "dropout": 0.0}
    halted = [found["val_loss"] for found in steps(learner(splits, {**config, "gamma": 1e-30}), 5)]
    moving = [found["val_loss"] for found in steps(learner(splits, {**config, "gamma": 1.0}), 5)]
    assert halted[:2] == moving[:2]
    assert len(set(moving)) == 5
    assert len(set(halted[1:])) == 1, "no step beyond epoch 2 moves a weight"


def test_the_running_metrics_of_an_epoch_count_every_image_once(splits: DeviceSplits) -> None:
    """At a rate of next to 0 the model stays as it is drawn, and batches cannot matter."""
    still = {**BASE, "lr": 1e-30, "dropout": 0.0}
    found = [learner(splits, {**still, "batch_size": size}).step() for size in (1, 7, 25, 99)]
    assert len({each["train_accuracy"] for each in found}) == 1
    assert [each["train_loss"] for each in found] == pytest.approx([found[0]["train_loss"]] * 4)
    scored = [learner(splits, {**still, "test_batch_size": size}).step() for size in (1, 4, 99)]
    assert [each["val_loss"] for each in scored] == pytest.approx([scored[0]["val_loss"]] * 3)


# ---------------------------------------------------------------- batches


def test_evaluation_leaves_the_data_alone(splits: DeviceSplits) -> None:
    """A model that works in place does so on a copy, of floating data too."""

    class InPlace(Pneumonia):
        def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
            inner = super().model(config, shape)
            inner.register_forward_pre_hook(lambda _, inputs: (inputs[0].div_(255),))
            return inner

    parts = [DeviceSplit(part.x.float(), part.y) for part in (splits.train, splits.val, splits.test)]
    data = DeviceSplits(parts[0], parts[1], parts[2])
    before = [part.x.clone() for part in parts]
    Alone(make_spec(BASE), InPlace(), data).step()
    assert all(torch.equal(part.x, then) for part, then in zip(parts, before, strict=True))


# ---------------------------------------------------------------- last or best


def test_best_evaluates_the_weights_of_the_best_epoch(splits: DeviceSplits) -> None:
    wild = {**BASE, "lr": 0.05, "gamma": 1.0}
    best = learner(splits, wild, keep_best=("val_loss", -1))
    losses = [found["val_loss"] for found in steps(best, 8)]
    assert 1 < best.where.evaluated < 8, "a case in which last and best differ"
    assert best.where.evaluated == 1 + losses.index(min(losses))
    then = learner(splits, wild)
    steps(then, best.where.evaluated)
    assert_same(best.test(), then.test())
    assert best.step() == steps(learner(splits, wild), 9)[-1], "a look at the test set changes nothing"


def test_of_equal_epochs_the_first_is_best(splits: DeviceSplits) -> None:
    still = learner(splits, {**BASE, "lr": 1e-30}, keep_best=("val_accuracy", 1))
    steps(still, 3)
    assert still.where.evaluated == 1


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize("lr", [1e30, float("inf")])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_what_becomes_non_finite_freezes(splits: DeviceSplits, lr: float, optimizer: str) -> None:
    one = learner(splits, {**BASE, "lr": lr, "optimizer": optimizer})
    assert steps(one, 3) == [{}, {}, {}]
    assert one.where.diverged
    assert one.where.epoch == 1


class Late(Pneumonia):
    """Diverges in one step of its third epoch: the rate grows beyond all bounds."""

    def scheduler(self, config: Config, optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1e35 if epoch >= 2 else 1.0)


def test_epochs_before_a_divergence_stand(splits: DeviceSplits) -> None:
    one = Alone(make_spec(BASE), Late(), splits)
    assert [bool(found) for found in steps(one, 4)] == [True, True, False, False]


class ThreeClasses(Pneumonia):
    """One layer, a third class that no image has, plain SGD and no schedule."""

    def model(self, config: Config, shape: tuple[int, ...]) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), 3))

    def loss(self, config: Config) -> Any:
        return lambda logits, y: torch.nn.functional.cross_entropy(logits, y, reduction="none")

    def optimizer(self, config: Config, params: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=0.1)

    def scheduler(self, config: Config, optimizer: torch.optim.Optimizer) -> None:
        return None


def test_a_task_of_three_classes_without_a_schedule(splits: DeviceSplits) -> None:
    one = Alone(make_spec(BASE), ThreeClasses(), splits)
    found = one.step()
    assert list(found) == ["train_accuracy", "train_loss", "val_accuracy", "val_loss"]
    assert one.test().scores.shape == (10, 3)
    assert one.state()["scheduler"] is None
