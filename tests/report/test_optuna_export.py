"""A run as a file of Optuna's: every ended configuration, with its test metrics."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from edge_cases import CASES
from make_run import PHANTOM, SAMPLES, make
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from records import constant

from tune_app.report import exporting
from tune_app.results import Frames

FIVE = {
    1: constant(test=[0.81, 0.82, 0.83], val=[0.7, 0.8, 0.9]),
    2: constant(end="stopped", epochs=9, val=[0.5, 0.6, 0.7]),
    3: constant(end="failed", epochs=2),
    4: constant(end="running", epochs=3),
}


def opened(frames: Frames, path: Path) -> optuna.Study:
    path.write_bytes(exporting.export(frames, "optuna"))
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.load_study(study_name=frames.sweep.name, storage=storage)


def test_a_grid_is_a_study_too(tmp_path: Path) -> None:
    frames = make(tmp_path, SAMPLES, FIVE)
    study = opened(frames, tmp_path / "copy.db")
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["val_accuracy"]
    assert study.user_attrs["data"] == frames.sweep.data.label()
    assert study.user_attrs["fixed"] == {"gamma": 0.4, "batch_size": 128, "loss": "bce"}
    finished, stopped, failed = study.trials
    states = [t.state for t in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL], (
        "what has not ended is left out"
    )
    assert finished.params == {"lr": 3e-6, "step_size": 4}
    assert finished.distributions == {
        "lr": FloatDistribution(3e-7, 3e-5, log=True),
        "step_size": IntDistribution(2, 8),
    }
    assert finished.value == pytest.approx(0.8)
    assert list(finished.intermediate_values) == list(range(1, 31))
    attributes = finished.user_attrs
    assert attributes["test_accuracy_mean"] == pytest.approx(0.82)
    assert attributes["test_accuracy_ci95"] == pytest.approx(0.0248, abs=1e-4)
    assert (attributes["sample"], attributes["status"], attributes["n"]) == (1, "finished", 3)
    assert stopped.value == pytest.approx(0.6)
    assert "test_accuracy_mean" not in stopped.user_attrs
    assert failed.user_attrs["status"] == "failed"


SPACE = """
task: mine:train
space:
  lr: {loguniform: [1e-4, 1]}
  wide: {qloguniform: [0.5, 8, 0.5]}
  normal: {randn: [0, 1]}
  width: {randint: [1, 9]}
  act: {choice: [relu, 1, true, null]}
configs:
  - {lr: 0.5, huge: 1%s, wide: 2, normal: -1.5, width: 4, act: true}
  - {lr: 0.1, huge: 1, wide: 4, normal: 2.5, width: 20, act: 1}
search: {algorithm: random, samples: 1}
seeds: 2
epochs: 1
""" % ("0" * 400)


def test_distributions_hold_every_value_that_was_tried(tmp_path: Path) -> None:
    two = constant(test=[0.5, 0.5], epochs=1)
    frames = make(tmp_path, SPACE, {1: two, 2: two, 3: two}, PHANTOM)
    study = opened(frames, tmp_path / "copy.db")
    drawn = frames.sweep.history.configurations[3].config
    spread = study.trials[0].distributions
    assert spread["lr"] == FloatDistribution(1e-4, 1, log=True)
    assert isinstance(spread["wide"], FloatDistribution)
    assert spread["wide"].log
    assert spread["normal"] == FloatDistribution(-1.5, 2.5)
    assert spread["width"] == IntDistribution(min(4, int(str(drawn["width"]))), 20), (
        "20 lies outside of the space"
    )
    assert spread["act"] == CategoricalDistribution(('"relu"', "1", "true", "null")), "1 and true are two"
    assert [t.params["act"] for t in study.trials[:2]] == ["true", "1"]
    assert spread["huge"] == CategoricalDistribution((f"1{'0' * 400}", "1")), "no float holds it"
    assert all(t.distributions == {**spread, "huge": spread["huge"]} for t in study.trials[:2])
    assert [t.params["normal"] for t in study.trials] == [-1.5, 2.5, drawn["normal"]]


def test_several_metrics_are_several_objectives(tmp_path: Path) -> None:
    metric = "metric: [{name: val_accuracy, mode: max}, {name: val_loss, mode: min}]\n"
    outcome = constant(
        test=[0.5, 0.5, 0.5], val=[0.7, 0.7, 0.7], metrics={"val_loss": [0.1, 0.2, 0.3]}, epochs=2
    )
    study = opened(make(tmp_path, SAMPLES + metric, {1: outcome}), tmp_path / "copy.db")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    [trial] = study.trials
    assert trial.values == pytest.approx([0.7, 0.2])
    assert trial.user_attrs["val_loss_by_epoch"] == pytest.approx([0.2, 0.2])


def test_what_waits_at_a_rung_is_left_out_until_it_is_stopped(tmp_path: Path) -> None:
    frames = CASES["waiting"](tmp_path)
    found = {t.user_attrs["sample"]: t.state for t in opened(frames, tmp_path / "copy.db").trials}
    assert found == dict.fromkeys((5, 6, 7, 8), TrialState.PRUNED)
