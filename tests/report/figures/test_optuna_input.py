"""An Optuna study of any run, for its figures."""

from __future__ import annotations

from pathlib import Path

import optuna
from edge_cases import CASES

from tune_app.report.figures import optuna_input


def test_a_study_is_made_of_any_record(tmp_path: Path) -> None:
    made = optuna_input.make_study(CASES["stopped"](tmp_path))
    states = [trial.state.name for trial in made.trials]
    assert states == ["PRUNED"] * 3 + ["COMPLETE"] * 3
    assert [trial.user_attrs["sample"] for trial in made.trials] == [1, 2, 3, 4, 5, 6]
    assert made.trials[3].params == {"lr": 3e-5, "step_size": 2}
    assert made.direction.name == "MAXIMIZE"
    assert all("test" not in name for trial in made.trials for name in trial.user_attrs)


def test_ranges_follow_the_recorded_values_and_the_sampler(tmp_path: Path) -> None:
    frames = CASES["forty"](tmp_path)
    lr = optuna_input.distribution(frames, "lr")
    assert isinstance(lr, optuna.distributions.FloatDistribution)
    assert (lr.log, lr.low, lr.high) == (True, frames.trials["lr"].min(), frames.trials["lr"].max())
    step = optuna_input.distribution(frames, "step_size")
    assert isinstance(step, optuna.distributions.IntDistribution)
    assert not step.log
    mixed = optuna_input.distribution(CASES["conditional"](tmp_path / "other"), "depth")
    assert mixed == optuna.distributions.CategoricalDistribution(
        tuple(optuna_input.MARK + each for each in ("1", "2", "deep"))
    )
    grid = optuna_input.distribution(CASES["finished"](tmp_path / "grid"), "lr")
    assert isinstance(grid, optuna.distributions.FloatDistribution)
    assert not grid.log, "a factor of ten may as well be linear"
