from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.driver.trial_queue import completed
from tune_app.sweep import Sweep
from tune_app.sweep.code import CodeState
from tune_app.sweep.events import Saved
from tune_app.sweep.trial_spec import SweepSettings, TrialSpec

SPACE = """
task: pneumonia
space: {lr: {grid: [1, 2]}}
seeds: 2
epochs: 9
evaluate: best
stop: {scheduler: none, patience: 2}
"""
CODE = CodeState({"task.py": "c0ffee"})
SAVED = Saved(1, "1-0-000001-state.pt", 5, 0)


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with Sweep.create(spaces.parse(SPACE, file="my.yaml", name="my"), runs_dir=tmp_path).writing() as sweep:
        yield sweep


def first(sweep: Sweep, gather: bool = False) -> TrialSpec:
    return completed(sweep.lacking()[0], sweep, CODE, gather)


def test_a_spec_holds_all_that_a_worker_must_know(sweep: Sweep) -> None:
    spec = first(sweep)
    settings, files = spec.settings, spec.files
    assert settings == SweepSettings.of(sweep.space, sweep.numerics)
    assert (settings.task, settings.seed, settings.epochs, settings.patience) == ("pneumonia", 0, 9, 2)
    assert (settings.metrics, settings.keep_best) == ((("val_accuracy", 1),), ("val_accuracy", 1))
    assert (settings.checkpoint_every_s, settings.keep) == (30, "best")
    assert (spec.replicates, spec.target, spec.start, spec.tested) == ((0, 1), 9, None, True)
    assert (spec.code, spec.reported) == (CODE, ())
    assert files.checkpoints == str(sweep.paths.checkpoints.absolute())
    assert files.output.startswith(str(sweep.paths.folder.absolute()))
    assert (files.opened, files.gather) == (sweep.opened, False)
    assert pickle.loads(pickle.dumps(spec)).settings == settings


def interrupt(sweep: Sweep) -> None:
    """Record a trial of two epochs, of which the first has a checkpoint, and the next session."""
    recorder = Recorder.of(sweep)
    trial = recorder.start(1)
    for epoch in (1, 2):
        recorder.epoch(trial, [0.5, epoch / 10])
    recorder.save(trial, SAVED)
    recorder.interrupt()
    sweep.paths.checkpoints.mkdir(exist_ok=True)
    (sweep.paths.checkpoints / SAVED.file).write_bytes(b"state")


def test_a_trial_that_resumes_knows_what_patience_has_seen(sweep: Sweep) -> None:
    before = first(sweep).files.output
    interrupt(sweep)
    spec = first(sweep)
    assert (spec.start, spec.files.content) == (SAVED, None)
    assert spec.reported == (((1, 0.5),), ((1, 0.1),)), "up to the checkpoint"
    assert spec.files.output != before, "each attempt prints to a file of its own"


def test_a_worker_on_another_machine_gets_the_checkpoint_and_no_folder(sweep: Sweep) -> None:
    assert first(sweep, gather=True).files.content is None
    interrupt(sweep)
    files = first(sweep, gather=True).files
    assert (files.gather, files.content, files.output, files.opened) == (True, b"state", "", None)
