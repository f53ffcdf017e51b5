from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from specs import change, make_spec

from tune_app.data import Dataset
from tune_app.errors import TaskError
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Labelled, Splits
from tune_app.training import trial as trials
from tune_app.training.protocol import EpochReport
from tune_app.training.trial import Trial, Worker

UserModule = Callable[[str], str]
CONFIG = {"lr": 1e-3, "batch_size": 8, "nodes": 8}
NO_DATA = Worker(None, "cpu")


def spec(task: str = "pneumonia", replicates: tuple[int, ...] = (0, 1), **changes: Any) -> TrialSpec:
    return make_spec(CONFIG, replicates, task=task, **changes)


def steps(trial: Trial) -> list[EpochReport]:
    """The reports of a trial until it is done."""
    reports = [trial.step()]
    while not reports[-1].done:
        reports.append(trial.step())
    return reports


@pytest.fixture(scope="module")
def worker(tiny: Dataset) -> Worker:
    return Worker(Pneumonia().splits(tiny), "cpu")


def test_a_trial_reports_each_epoch_and_looks_at_the_test_set_with_the_last(
    worker: Worker, tiny: Dataset
) -> None:
    reports = steps(Trial(spec(), worker))
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.done for report in reports] == [False, False, True]
    assert [report.test is None for report in reports] == [True, True, False]
    for report in reports:
        assert not [name for name in report.metrics if name.startswith("test_")]
        assert {len(values) for values in report.metrics.values()} == {len(report.durations_s)} == {2}
    test = reports[-1].test
    assert test
    assert all(name.startswith("test_") for name in test.metrics)
    assert (test.evaluated, test.shape) == ([3, 3], (2, 10))
    scores = np.frombuffer(test.scores, "<f4").reshape(test.shape)
    found = ((scores > 0) == tiny.test.y).mean(axis=1)
    assert found.tolist() == test.metrics["test_accuracy"]


@pytest.mark.parametrize("import_at", ["import torch\n\n", ""])
def test_numerics_are_those_of_the_spec_and_only_while_it_trains(
    worker: Worker, user_module: Callable[[str], str], import_at: str
) -> None:
    name = user_module(
        import_at
        + "def task(config, context):\n    import torch\n    precise = torch.get_float32_matmul_precision()\n"
        "    yield {'val_accuracy': torch.get_num_threads() + (0.5 if precise == 'high' else 0)}\n"
    )
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    for numerics, found in ((Numerics(threads=3, precision="tf32"), 3.5), (Numerics(threads=1), 1.0)):
        trial = Trial(spec(f"{name}:task", numerics=numerics), worker)
        assert trial.step().metrics["val_accuracy"] == [found] * 2
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


STACKED, LOOPED = Numerics("stacked"), Numerics("looped")


@pytest.mark.parametrize("numerics", [(STACKED, STACKED), (STACKED, LOOPED), (LOOPED, STACKED)])
def test_a_trial_goes_on_from_a_checkpoint_of_more_replicates_however_trained(
    worker: Worker, tmp_path: Path, numerics: tuple[Numerics, Numerics]
) -> None:
    before, after = (
        spec(replicates=(0, 1, 2), numerics=each, checkpoints=str(tmp_path), checkpoint_every_s=0)
        for each in numerics
    )
    trial = Trial(before, worker)
    trial.step()
    saved = trial.step().saved
    whole = trial.step()
    rest = Trial(change(after, replicates=(2, 0), start=saved), worker)
    last = rest.step()
    assert (last.epoch, last.done) == (3, True)
    for name, values in whole.metrics.items():
        assert last.metrics[name] == pytest.approx([values[2], values[0]], abs=1e-4), name
    assert last.test
    assert whole.test
    assert last.test.metrics["test_loss"] == pytest.approx(
        [whole.test.metrics["test_loss"][place] for place in (2, 0)], abs=1e-4
    )


def test_what_is_stacked_is_trained_at_once(worker: Worker) -> None:
    report = Trial(spec(numerics=STACKED), worker).step()
    assert report.looped == ""
    assert len(set(report.durations_s)) == 1, "a replicate's time is its share of all"


@pytest.mark.parametrize(("dropout", "replicates"), [(0.3, (0, 1)), (0.3, (0,)), (0.0, (0,))])
def test_what_cannot_be_stacked_or_is_alone_is_looped_all_the_same(
    worker: Worker, dropout: float, replicates: tuple[int, ...]
) -> None:
    def last(numerics: Numerics) -> EpochReport:
        asked = spec(replicates=replicates, numerics=numerics)
        return steps(Trial(change(asked, config={**CONFIG, "dropout": dropout}), worker))[-1]

    stacked, looped = last(STACKED), last(LOOPED)
    assert stacked.looped == ("Dropout 3 draws random numbers" if len(replicates) > 1 else "")
    assert looped.looped == ""
    assert stacked.metrics == looped.metrics
    assert stacked.test == looped.test


def test_a_task_that_needs_data_says_so() -> None:
    with pytest.raises(TaskError, match="pneumonia"):
        Trial(spec(), NO_DATA)


@pytest.mark.parametrize("evaluate", ["last", "best"])
def test_a_missing_metric_is_told_with_what_there_is(user_module: UserModule, evaluate: str) -> None:
    name = user_module(
        """
        def task(config, context):
            yield {"val_accuracy": 1, "val_loss": 2}
            yield {"val_loss": 2, "val_auc": 3}
        """
    )
    trial = Trial(spec(f"{name}:task", evaluate=evaluate), NO_DATA)
    trial.step()
    with pytest.raises(TaskError, match=r'"val_accuracy".*epoch 2.*val_loss, val_auc'):
        trial.step()


@pytest.mark.parametrize("evaluate", ["last", "best"])
def test_a_metric_that_the_data_cannot_give_is_told(tiny: Dataset, evaluate: str) -> None:
    splits = Pneumonia().splits(tiny)
    ill = splits.val.y == 1
    worker = Worker(replace(splits, val=Labelled(splits.val.x[ill], splits.val.y[ill])), "cpu")
    trial = Trial(spec(evaluate=evaluate, metrics=(("val_auc", 1),)), worker)
    with pytest.raises(TaskError, match=r'"val_auc".*epoch 1.*train_accuracy'):
        trial.step()


DIVERGING = """
    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            gone = context.replicate in {gone} and epoch == 2
            yield {{"val_accuracy": float("nan") if gone else epoch, "test_accuracy": 0.5}}
"""


def test_a_diverged_replicate_freezes_and_what_was_not_finite_is_named(user_module: UserModule) -> None:
    name = user_module(DIVERGING.format(gone={4}))
    reports = steps(Trial(spec(f"{name}:task", (2, 4)), NO_DATA))
    assert [report.diverged for report in reports] == [{}, {4: 2}, {4: 2}]
    assert reports[1].metrics == {"val_accuracy": [2.0, None]}
    assert reports[1].why == {4: "val_accuracy was nan"}
    test = reports[-1].test
    assert test
    assert test.metrics == {"test_accuracy": [0.5, None]}
    assert (test.scores, test.shape) == (b"", ())


def test_a_trial_whose_replicates_are_all_gone_is_done(user_module: UserModule) -> None:
    name = user_module(DIVERGING.format(gone={0, 1}))
    last = steps(Trial(spec(f"{name}:task", epochs=9), NO_DATA))[-1]
    assert (last.epoch, last.metrics, last.diverged) == (2, {}, {0: 2, 1: 2})
    assert last.test
    assert last.test.metrics == {}


def test_a_non_finite_test_loss_is_left_out(tiny: Dataset) -> None:
    """Nothing in training or validation tells of it, and the record holds no infinity."""
    splits = Pneumonia().splits(tiny)
    huge = Labelled(np.full((4, 6, 6), np.inf, np.float32), splits.test.y[:4])
    train, val = (Labelled(part.x.astype(np.float32), part.y) for part in (splits.train, splits.val))
    plain = Splits(train, val, huge)
    test = steps(Trial(spec(epochs=1), Worker(plain, "cpu")))[-1].test
    assert test
    assert "test_accuracy" in test.metrics
    assert test.metrics["test_loss"] == [None, None]


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
    last = steps(Trial(spec(replicates=tuple(range(6))), worker))[-1]
    assert last.test
    assert 0 < len(last.diverged) < 6
    rows = np.frombuffer(last.test.scores, "<f4").reshape(last.test.shape)
    assert [r for r in range(6) if np.isnan(rows[r]).all()] == list(last.diverged)
    assert np.isfinite(np.delete(rows, list(last.diverged), axis=0)).all()


def test_a_gathering_trial_writes_nothing_and_goes_on_from_bytes(worker: Worker, tmp_path: Path) -> None:
    asked = spec(checkpoints=str(tmp_path / "none"), checkpoint_every_s=0, keep="last", gather=True)
    straight = steps(Trial(asked, worker))
    assert not (tmp_path / "none").exists()
    assert [list(report.files) for report in straight] == [
        [report.saved.file] for report in straight if report.saved
    ]
    first = straight[0]
    assert first.saved
    data = first.files[first.saved.file]
    assert (first.saved.size_bytes, first.saved.crc32) == (len(data), zlib.crc32(data))
    again = change(asked, start=first.saved, content=data)
    rest = steps(Trial(again, worker))
    assert [r.metrics for r in rest] == [r.metrics for r in straight[1:]]
    unpacked = EpochReport.unpack(first.pack(), first.pack_files())
    assert unpacked == first
    assert len(first.pack()) < len(data)


def test_a_checkpoint_that_is_too_large_to_travel_stays_behind(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "LARGEST_CARRIED", 100)
    asked = spec(checkpoints=str(tmp_path), checkpoint_every_s=0, keep="last", gather=True)
    report = Trial(asked, worker).step()
    assert (report.saved, report.files, report.savable) == (None, {}, False)
    assert report.too_large_bytes > 100


def test_a_gathering_trial_saves_when_it_is_told_to(worker: Worker, tmp_path: Path) -> None:
    trial = Trial(spec(checkpoints=str(tmp_path), gather=True), worker)
    assert trial.step().saved is None
    assert trial.step(save_now=True).files


def test_every_metric_that_ranks_must_be_there(worker: Worker) -> None:
    missing = tuple((name, 1) for name in ("val_accuracy", "val_loss", "val_speed"))
    with pytest.raises(TaskError, match=r'"val_speed".*epoch 1'):
        Trial(spec(metrics=missing, stop_metric=("val_loss", -1)), worker).step()
