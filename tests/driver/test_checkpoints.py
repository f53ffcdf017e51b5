"""Which weights a run keeps, and requests for a checkpoint."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from tune_app import results, stopping
from tune_app import space as spaces
from tune_app.driver.checkpoints import CheckpointRequest, CheckpointRetention
from tune_app.driver.driver import Driver
from tune_app.sweep import Sweep
from tune_app.sweep.events import Saved, Values
from tune_app.training.protocol import SAVE_NOW, EpochReport, TestOutcome

OUTCOME = TestOutcome({"test_accuracy": [0.5, 0.5]}, [1, 1], b"12345678" * 2, (2, 2))


def train(driver: Driver, values: dict[int, float], order: tuple[int, ...]) -> None:
    """One epoch of every configuration; they finish in this order, each with its weights."""
    trials = {spec.sample: driver.start(spec) for spec in iter(driver.next_trial, None)}
    folder = driver.sweep.paths.checkpoints
    folder.mkdir(exist_ok=True)
    for sample in order:
        file = f"{sample}-0-000001-weights.pt"
        (folder / file).write_bytes(b"x")
        found: Values = {"val_accuracy": [values[sample]] * 2}
        weights = Saved(1, file, 1, 0)
        report = EpochReport(1, found, [0.1] * 2, done=True, test=OUTCOME, weights=weights)
        driver.report(trials[sample], report, "cpu")


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("values", [(0.5, 0.5, 0.5), (0.5, 0.75, 0.75), (0.5, 0.25, 0.25), (0.1, 0.2, 0.3)])
def test_the_weights_are_those_of_the_first_in_the_ranking_whoever_finishes_first(
    tmp_path: Path, mode: str, values: tuple[float, ...]
) -> None:
    text = f"metric: {{name: val_accuracy, mode: {mode}}}\nepochs: 1\nseeds: 2"
    text += "\nspace: {lr: {grid: [1, 2, 3]}}"
    space = spaces.parse(f"task: pneumonia\n{text}", file="my.yaml", name="my")
    for order in itertools.permutations((1, 2, 3)):
        with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
            driver = Driver(sweep, stopping.make_stopper(space))
            train(driver, dict(enumerate(values, start=1)), order)
            [kept] = sweep.paths.checkpoints.glob("*.pt")
            CheckpointRetention(sweep).remove_unneeded()  # as the next session does, by the record
            assert [kept] == list(sweep.paths.checkpoints.glob("*.pt"))
        first = results.ranked(results.load(Sweep.open(sweep.paths.folder)))["sample"].iloc[0]
        assert kept.name == f"{first}-0-000001-weights.pt"


@pytest.mark.parametrize(("window", "kept"), [(1, 2), (2, 1)])
def test_the_weights_are_those_of_the_best_over_the_epochs_that_choose(
    tmp_path: Path, window: int, kept: int
) -> None:
    text = (
        f"task: pneumonia\nspace: {{lr: {{grid: [1, 2]}}}}\nepochs: 2\nseeds: 2\nchoose: {{window: {window}}}"
    )
    curves = {1: (0.9, 0.7), 2: (0.6, 0.75)}
    with Sweep.create(spaces.parse(text), runs_dir=tmp_path).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(sweep.space))
        trials = {spec.sample: driver.start(spec) for spec in iter(driver.next_trial, None)}
        sweep.paths.checkpoints.mkdir(exist_ok=True)
        for sample, curve in curves.items():
            for epoch, value in enumerate(curve, start=1):
                report = EpochReport(epoch, {"val_accuracy": [value] * 2}, [0.1] * 2)
                if epoch == len(curve):
                    file = f"{sample}-0-{epoch:06}-weights.pt"
                    (sweep.paths.checkpoints / file).write_bytes(b"x")
                    report = replace(report, done=True, test=OUTCOME, weights=Saved(epoch, file, 1, 0))
                driver.report(trials[sample], report, "cpu")
        assert [path.name for path in sweep.paths.checkpoints.glob("*.pt")] == [f"{kept}-0-000002-weights.pt"]


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    return tmp_path / SAVE_NOW


def test_a_request_stands_until_all_that_were_asked_have_answered(tmp_path: Path, asking: Path) -> None:
    request = CheckpointRequest(tmp_path)
    assert (request.pending, asking.exists()) == (set(), False)
    request.ask(["1.1", "2.1"])
    assert (len(request.pending), asking.exists()) == (2, True)
    request.wait_for({"2.1", "4.1"})
    assert (len(request.pending), asking.exists()) == (1, True)
    request.wait_for({"1.1"})
    assert (request.pending, asking.exists()) == (set(), False)


def test_a_folder_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    request = CheckpointRequest(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    request.ask(["1.1"])
    (tmp_path / "checkpoints" / SAVE_NOW).unlink()
    (tmp_path / "checkpoints").rmdir()
    request.wait_for(set())
    assert not request.pending
