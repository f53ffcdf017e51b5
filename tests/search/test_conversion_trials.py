"""The state, values and times of a configuration in an Optuna study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from lines import read, write
from optuna.trial import TrialState
from searching import (
    ASHA,
    COMPLETE,
    FAIL,
    PRUNED,
    TWO_METRICS,
    bowl,
    events,
    failing,
    new,
    outcomes,
    parse,
    replayed,
    session,
    study_db,
    train,
)

from benchmarks.in_flight import Flight
from tune_app.sweep import Sweep


def test_stopped_trials_are_pruned_with_every_value_that_they_reported(tmp_path: Path) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    trials = train(sweep, lanes=3)
    states = [t.state for t in trials]
    assert states == [{"finished": COMPLETE, "stopped": PRUNED}[status] for status in sweep.statuses()]
    assert {COMPLETE, PRUNED} == set(states)
    for trial in trials:
        reached = 5 if trial.state is COMPLETE else max(trial.intermediate_values)
        assert reached in (2, 4, 5)
        value = bowl(trial.params, 0, 1)["loss"] - 1
        assert trial.intermediate_values == {epoch: value + 1 / epoch for epoch in range(1, reached + 1)}
        assert trial.value == trial.intermediate_values[reached]
    assert outcomes(study_db(sweep)) == outcomes(trials)
    assert {t.user_attrs["status"] for t in study_db(sweep)} == {"finished", "stopped"}


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("early", ["", ASHA])
def test_what_diverged_or_failed_is_told_as_failed(tmp_path: Path, seeds: int, early: str) -> None:
    sweep = new(parse(samples=25, text=f"{early}\nseeds: {seeds}\nmax_failures: 1"), tmp_path)
    trials = train(sweep, failing, lanes=2)
    by_state = {"finished": COMPLETE, "stopped": PRUNED, "diverged": FAIL, "failed": FAIL}
    assert [t.state for t in trials] == [by_state[status] for status in sweep.statuses()]
    assert {"diverged", "failed", "finished"} <= set(sweep.statuses())
    for trial, status in zip(trials, sweep.statuses(), strict=True):
        assert (trial.value is None) == (trial.state is FAIL)
        if status == "diverged":
            assert list(trial.intermediate_values) == [1]
        if status == "failed":
            assert trial.intermediate_values == {}
    assert outcomes(study_db(sweep)) == outcomes(trials)


def test_one_seed_that_diverges_is_told_once_the_others_have_ended(tmp_path: Path) -> None:
    sweep = new(parse(samples=1, text="seeds: 2\nepochs: 3\nconfigs: [{x: -2, y: 1}]"), tmp_path)
    with session(sweep) as (search, driver):
        Flight(driver, failing).run(reports=2)
        [first, *_] = search.trials()
        assert events(sweep, "diverged")
        assert first.state is TrialState.RUNNING
    trials = train(sweep, failing)
    assert [t.state for t in trials] == [FAIL, COMPLETE]
    assert [list(t.intermediate_values) for t in trials] == [[1], [1, 2, 3]], "no mean of what is left"
    assert outcomes(study_db(sweep)) == outcomes(trials)


@pytest.mark.parametrize(
    ("evaluate", "window", "expected"),
    [("last", 1, 6.0), ("best", 1, 3.0), ("last", 2, 5.0), ("last", 3, 5.5), ("best", 2, 4.75)],
)
def test_the_mean_over_the_seeds_and_the_epochs_that_choose_is_told(
    tmp_path: Path, evaluate: str, window: int, expected: float
) -> None:
    losses = {0: [9.0, 2.0, 4.0], 1: [4.0, 6.0, 8.0]}  # the best of each: in another epoch
    text = f"seeds: 2\nepochs: 3\nevaluate: {evaluate}\nchoose: {{window: {window}}}"
    sweep = new(parse(samples=1, text=text), tmp_path)
    [trial] = train(sweep, lambda config, replicate, epoch: {"loss": losses[replicate][epoch - 1]})
    assert trial.value == expected
    assert trial.intermediate_values == {1: 6.5, 2: 4.0, 3: 6.0}


def test_trials_carry_the_times_of_the_record(tmp_path: Path) -> None:
    sweep = new(parse(samples=2), tmp_path)
    train(sweep)
    times = itertools.count(1e9, 10)
    write(sweep.paths.record, [{**event, "t": next(times)} for _, event in read(sweep.paths.record)])
    at = {
        (e["event"], e.get("sample") or int(e["trial"][0])): e["t"]
        for e in events(sweep, "started", "finished")
    }
    sweep.paths.study.unlink()
    again = Sweep.open(sweep.paths.folder)
    train(again)
    for trial in study_db(again):
        assert trial.datetime_start
        assert trial.datetime_complete
        sample = trial.user_attrs["sample"]
        assert trial.datetime_start.timestamp() == at["started", sample]
        assert trial.datetime_complete.timestamp() == at["finished", sample]


def two(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    if config["x"] > 1.9:
        raise OSError("a wall")
    return {**bowl(config, replicate, epoch), "speed": config["y"] + epoch}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_several_metrics_are_told_together(tmp_path: Path, sampler: str) -> None:
    sweep = new(
        parse(sampler=sampler, samples=60, text=f"{TWO_METRICS}\nmax_failures: 0\nseeds: 2"), tmp_path
    )
    with session(sweep) as (search, driver):
        Flight(driver, two, lanes=2).run()
        trials = search.trials()
    for trial in trials:
        if trial.params["x"] > 1.9:
            assert (trial.state, trial.values) == (FAIL, None)
        else:
            loss = sum(two(trial.params, r, 2)["loss"] for r in range(2)) / 2
            assert (trial.state, trial.values) == (COMPLETE, [loss, trial.params["y"] + 2])
    study = optuna.load_study(study_name=sweep.name, storage=f"sqlite:///{sweep.paths.study}")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["loss", "speed"]
    assert outcomes(study.trials) == outcomes(trials)
    first = study.trials[0]
    assert first.intermediate_values == {}
    assert first.user_attrs["speed_by_epoch"] == [first.params["y"] + 1, first.params["y"] + 2]
    assert 1 <= len(study.best_trials) < 60
    assert outcomes(replayed(sweep)) == outcomes(trials)


def test_the_best_epoch_goes_by_the_first_metric(tmp_path: Path) -> None:
    losses, speeds = [3.0, 1.0, 1.0, 2.0], [10.0, 20.0, 30.0, 40.0]
    sweep = new(parse(samples=1, text=f"{TWO_METRICS}\nepochs: 4\nevaluate: best"), tmp_path)
    [trial] = train(
        sweep, lambda config, replicate, epoch: {"loss": losses[epoch - 1], "speed": speeds[epoch - 1]}
    )
    assert trial.values == [1.0, 20.0], "the first of two that are best"


def test_each_metric_is_told_over_the_epochs_that_choose(tmp_path: Path) -> None:
    losses, speeds = [3.0, 1.0, 1.0, 2.0], [10.0, 20.0, 30.0, 40.0]
    sweep = new(parse(samples=1, text=f"{TWO_METRICS}\nepochs: 4\nchoose: {{window: 2}}"), tmp_path)
    [trial] = train(
        sweep, lambda config, replicate, epoch: {"loss": losses[epoch - 1], "speed": speeds[epoch - 1]}
    )
    assert trial.values == [1.5, 35.0]
