from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from tune_app.data import Dataset
from tune_app.errors import TaskError
from tune_app.messages import Order, Report
from tune_app.sweep import Job, Numerics
from tune_app.task import Labelled, Splits
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.trial import Trial, Worker

UserModule = Callable[[str], str]
CONFIG = {"lr": 1e-3, "batch_size": 8, "nodes": 8}
NO_DATA = Worker(None, "cpu")


def order(task: str = "pneumonia", replicates: tuple[int, ...] = (0, 1), epochs: int = 3) -> Order:
    job = Job(1, "f", CONFIG, replicates, epochs)
    return Order(job, task, 0, "val_accuracy", "max", "last", Numerics(), epochs)


def steps(trial: Trial) -> list[Report]:
    """The reports of a trial until it is done."""
    reports = [trial.step()]
    while not reports[-1].done:
        reports.append(trial.step())
    return reports


@pytest.fixture(scope="module")
def worker(tiny: Dataset) -> Worker:
    return Worker(Pneumonia().splits(tiny), "cpu")


def test_a_trial_reports_each_epoch_and_breaks_the_seal_with_the_last(worker: Worker, tiny: Dataset) -> None:
    reports = steps(Trial(order(), worker))
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.done for report in reports] == [False, False, True]
    assert [report.sealed is None for report in reports] == [True, True, False]
    for report in reports:
        assert not [name for name in report.metrics if name.startswith("test_")]
        assert report.value == np.mean([v or 0.0 for v in report.metrics["val_accuracy"]])
        assert {len(values) for values in report.metrics.values()} == {len(report.durations_s)} == {2}
    sealed = reports[-1].sealed
    assert sealed
    assert all(name.startswith("test_") for name in sealed.metrics)
    assert (sealed.evaluated, sealed.shape) == ([3, 3], (2, 10))
    scores = np.frombuffer(sealed.scores, "<f4").reshape(sealed.shape)
    found = ((scores > 0) == tiny.test.y).mean(axis=1)
    assert found.tolist() == sealed.metrics["test_accuracy"]


def test_threads_are_those_of_the_order(worker: Worker) -> None:
    Trial(replace(order(), numerics=Numerics(threads=2)), worker)
    assert torch.get_num_threads() == 2
    Trial(order(), worker)
    assert torch.get_num_threads() == 1


def test_a_task_that_needs_data_says_so() -> None:
    with pytest.raises(TaskError, match="the task pneumonia needs data, and none was given"):
        Trial(order(), NO_DATA)


@pytest.mark.parametrize("evaluate", ["last", "best"])
def test_a_missing_metric_is_told_with_what_there_is(user_module: UserModule, evaluate: str) -> None:
    name = user_module(
        """
        def task(config, context):
            yield {"val_accuracy": 1, "val_loss": 2}
            yield {"val_loss": 2, "val_auc": 3}
        """
    )
    trial = Trial(replace(order(f"{name}:task"), evaluate=evaluate), NO_DATA)
    trial.step()
    with pytest.raises(
        TaskError, match='"val_accuracy" is missing from epoch 2; reported were: val_loss, val_auc'
    ):
        trial.step()


@pytest.mark.parametrize("evaluate", ["last", "best"])
def test_a_metric_that_the_data_cannot_give_is_told(tiny: Dataset, evaluate: str) -> None:
    splits = Pneumonia().splits(tiny)
    ill = splits.val.y == 1
    worker = Worker(replace(splits, val=Labelled(splits.val.x[ill], splits.val.y[ill])), "cpu")
    trial = Trial(replace(order(), evaluate=evaluate, metric="val_auc"), worker)
    with pytest.raises(TaskError, match='"val_auc" is missing from epoch 1; reported were: train_accuracy'):
        trial.step()


DIVERGING = """
    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            gone = context.replicate in {gone} and epoch == 2
            yield {{"val_accuracy": float("nan") if gone else epoch, "test_accuracy": 0.5}}
"""


def test_a_diverged_replicate_takes_the_value_from_the_searcher(user_module: UserModule) -> None:
    name = user_module(DIVERGING.format(gone={4}))
    reports = steps(Trial(order(f"{name}:task", (2, 4)), NO_DATA))
    assert [report.value for report in reports] == [1.0, None, None]
    assert [report.diverged for report in reports] == [{}, {4: 2}, {4: 2}]
    assert reports[1].metrics == {"val_accuracy": [2.0, None]}
    sealed = reports[-1].sealed
    assert sealed
    assert sealed.metrics == {"test_accuracy": [0.5, None]}
    assert (sealed.scores, sealed.shape) == (b"", ())


def test_a_trial_whose_replicates_are_all_gone_is_done(user_module: UserModule) -> None:
    name = user_module(DIVERGING.format(gone={0, 1}))
    last = steps(Trial(order(f"{name}:task", epochs=9), NO_DATA))[-1]
    assert (last.epoch, last.value, last.metrics, last.diverged) == (2, None, {}, {0: 2, 1: 2})
    assert last.sealed
    assert last.sealed.metrics == {}


def test_a_non_finite_test_loss_is_left_out(tiny: Dataset) -> None:
    """Nothing in training or validation tells of it, and the record holds no infinity."""
    splits = Pneumonia().splits(tiny)
    huge = Labelled(np.full((4, 6, 6), np.inf, np.float32), splits.test.y[:4])
    train, val = (Labelled(part.x.astype(np.float32), part.y) for part in (splits.train, splits.val))
    plain = Splits(train, val, huge)
    sealed = steps(Trial(order(epochs=1), Worker(plain, "cpu")))[-1].sealed
    assert sealed
    assert "test_accuracy" in sealed.metrics
    assert "test_loss" not in sealed.metrics


def test_scores_of_a_diverged_replicate_are_not_numbers(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Pneumonia.model

    def fragile(self: Pneumonia, config: dict[str, float], shape: tuple[int, ...]) -> torch.nn.Module:
        model = made(self, config, shape)
        if torch.rand(()) < 0.5:  # so for some replicates
            next(model.parameters()).data *= 1e38
        return model

    monkeypatch.setattr(Pneumonia, "model", fragile)
    worker = Worker(Pneumonia().splits(tiny), "cpu")
    last = steps(Trial(order(replicates=tuple(range(6))), worker))[-1]
    assert last.sealed
    assert 0 < len(last.diverged) < 6
    rows = np.frombuffer(last.sealed.scores, "<f4").reshape(last.sealed.shape)
    assert [r for r in range(6) if np.isnan(rows[r]).all()] == list(last.diverged)
    assert np.isfinite(np.delete(rows, list(last.diverged), axis=0)).all()


def test_the_value_is_that_of_early_stopping_and_every_metric_must_be_there(worker: Worker) -> None:
    several = replace(order(), others=("val_loss",), stop_metric="val_loss")
    report = Trial(several, worker).step()
    assert report.value == np.mean([v or 0.0 for v in report.metrics["val_loss"]])
    with pytest.raises(TaskError, match='the metric "val_speed" is missing from epoch 1'):
        Trial(replace(several, others=("val_loss", "val_speed")), worker).step()
