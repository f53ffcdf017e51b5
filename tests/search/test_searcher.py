"""Which samples are asked for, which outcomes are told, and that the record alone decides both."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from searching import (
    ASHA,
    COMPLETE,
    FAIL,
    PROMOTION,
    PRUNED,
    SAMPLERS,
    TWO_METRICS,
    bowl,
    events,
    new,
    outcomes,
    parse,
    session,
    study_db,
    suggested,
    train,
)

from benchmarks.in_flight import Flight
from tune_app import report, results
from tune_app import space as spaces
from tune_app.errors import SpaceError, TrialsFailed
from tune_app.report import exporting
from tune_app.session import lifecycle, outcome
from tune_app.session.request import Request
from tune_app.sweep.events import Retried

UserModule = Callable[[str], str]


@pytest.mark.parametrize("sampler", [*SAMPLERS, "mine:Sampler"])
def test_every_sampler_searches_to_the_end(user_module: UserModule, sampler: str) -> None:
    name = user_module(
        """
        import math

        def task(config, context):
            for epoch in (1, 2):
                value = (config["x"] - 0.5) ** 2 + math.log10(config["y"]) ** 2
                yield {"loss": value + 1 / epoch, "test_loss": 0.5}
        """
    )
    Path("mine.py").write_text("import its_own\nfrom optuna.samplers import RandomSampler as Sampler\n")
    Path("its_own.py").touch()
    space = parse(sampler=sampler, samples=13)
    asked = Request(space.model_copy(update={"task": f"{name}:task"}), name="one", address="inline")
    sweep = lifecycle.run(asked, asked.load()).train()
    assert sweep.statuses() == ["finished"] * 13
    trials = study_db(sweep)
    assert [t.state for t in trials] == [COMPLETE] * 13
    assert [t.user_attrs["sample"] for t in trials] == list(range(1, 14))
    assert [t.params for t in trials] == [config for _, config, _ in suggested(sweep)]
    for trial in trials:
        x, y = trial.params["x"], trial.params["y"]
        value = (x - 0.5) ** 2 + math.log10(y) ** 2
        assert trial.value == value + 0.5
        assert trial.intermediate_values == {1: value + 1, 2: value + 0.5}
        assert -2 <= x <= 2
        assert 0.01 <= y <= 100
    assert len({tuple(t.params.values()) for t in trials}) == 13


def test_other_seeds_search_elsewhere(tmp_path: Path) -> None:
    sweeps = [new(parse(samples=3, text=f"seed: {seed}"), tmp_path) for seed in (1, 2, 1)]
    for sweep in sweeps:
        train(sweep)
    first, second, third = map(suggested, sweeps)
    assert first == third
    assert first != second


def test_a_direction_follows_from_the_mode(tmp_path: Path) -> None:
    found = {}
    for mode in ("min", "max"):
        sweep = new(
            parse("x: {uniform: [0, 1]}", samples=30, text=f"metric: {{name: v, mode: {mode}}}"), tmp_path
        )
        train(sweep, lambda config, replicate, epoch: {"v": config["x"]})
        found[mode] = [config["x"] for _, config, _ in suggested(sweep)][15:]
        assert (
            optuna.load_study(study_name=sweep.name, storage=f"sqlite:///{sweep.paths.study}").direction.name
            == {"min": "MINIMIZE", "max": "MAXIMIZE"}[mode]
        )
    assert sum(found["max"]) / 15 > 0.5 > sum(found["min"]) / 15


KINDS = """x: {choice: [adam, null, 1, true, 2.5]}, a: {uniform: [0, 1], when: {x: [adam, 1]}},
    b: {quniform: [0, 0.9, 0.1], when: {x: true}}, c: {randint: [1, 5]}, d: {lograndint: [1, 100]},
    e: {qrandint: [1, 18, 4], when: {c: [2, 3]}}, f: {loguniform: [1e-7, 1e-3], when: {e: [8, 12]}}"""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_parameters_exist_where_their_conditions_hold(tmp_path: Path, sampler: str) -> None:
    space = parse(KINDS, sampler, samples=40 if sampler != "gp" else 14, text="fixed: {g: 7}")
    sweep = new(space, tmp_path)
    train(sweep, lambda config, replicate, epoch: {"loss": config["c"] + config["d"] / 100})
    configs = [config for _, config, _ in suggested(sweep)]
    seen = {name for config in configs for name in config}
    assert sampler == "gp" or seen == {*space.space, "g"}
    for config in configs:
        assert list(config) == [name for name in [*space.space, "g"] if name in config]
        assert config["g"] == 7
        for name, parameter in space.space.items():
            holds = all(
                other in config
                and any(spaces.canonical(config[other]) == spaces.canonical(v) for v in values)
                for other, values in parameter.when.items()
            )
            assert (name in config) == holds
            if name in config and spaces.KINDS[parameter.kind].listed:
                assert parameter.can_be(config[name])
    # what Python takes for one, 1 and true, are two here
    kinds = {type(config["x"]) for config in configs}
    assert sampler == "gp" or kinds == {str, type(None), int, bool, float}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_exact_points_are_tried_first_and_told(tmp_path: Path, sampler: str) -> None:
    sweep = new(parse(sampler=sampler, samples=3, text="configs: [{x: 1, y: 1}, {x: 2.0, y: 0.1}]"), tmp_path)
    trials = train(sweep)
    assert suggested(sweep)[:2] == [(1, {"x": 1, "y": 1}, None), (2, {"x": 2.0, "y": 0.1}, None)]
    assert [t.params for t in trials[:2]] == [{"x": 1, "y": 1}, {"x": 2, "y": 0.1}]
    assert [t.value for t in trials[:2]] == [0.75, 3.75]
    assert outcomes(study_db(sweep)) == outcomes(trials)
    assert len(trials) == 5


def test_a_point_outside_of_the_space_is_tried_and_kept_from_the_sampler(tmp_path: Path) -> None:
    points = "configs: [{x: 3, y: 1}, {x: 1, y: 1}, {x: 1, y: 1, z: 5}, {x: true, y: 1}]"
    sweep = new(parse(samples=2, text=points), tmp_path)
    trials = train(sweep)
    assert sweep.statuses() == ["finished"] * 6
    assert [t.user_attrs["sample"] for t in trials] == [2, 5, 6], "a sampler would take it for what it is not"
    first, second, third, fourth = study_db(sweep)[:4]
    assert (first.params, first.user_attrs["outside"], first.value) == ({"y": 1}, {"x": 3}, 6.75)
    assert (second.params, third.params) == ({"x": 1, "y": 1},) * 2
    assert fourth.user_attrs["outside"] == {"x": True}
    again = new(parse(samples=2, text="configs: [{x: 1, y: 1}]"), tmp_path)
    train(again)
    assert [p for _, p, _ in suggested(again)[1:]] == [p for _, p, _ in suggested(sweep)[4:]]


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_a_point_asked_for_twice_trains_nothing_and_is_told_the_same(
    tmp_path: Path, sampler: str, lanes: int
) -> None:
    sweep = new(parse("x: {choice: [0, 1, 2]}", sampler, samples=12, text=ASHA), tmp_path)
    trials = train(sweep, lambda config, replicate, epoch: {"loss": config["x"] + 1 / epoch}, lanes)
    planned = suggested(sweep)
    assert len({started["sample"] for started in events(sweep, "started")}) <= 3
    duplicates = [(sample, first) for sample, _, first in planned if first]
    assert len(planned) == 12 == len(trials)
    assert len(duplicates) >= 9
    for sample, first in duplicates:
        one, other = trials[first - 1], trials[sample - 1]
        assert (one.state, one.values, one.params) == (other.state, other.values, other.params)
        assert one.intermediate_values == other.intermediate_values
    assert TrialState.RUNNING not in {t.state for t in trials}
    assert outcomes(study_db(sweep)) == outcomes(trials)
    assert [t.user_attrs.get("twin") for t in study_db(sweep)] == [twin for *_, twin in planned]


def test_duplicates_of_a_failure_fail_with_it_and_are_repaired_with_it(tmp_path: Path) -> None:
    sweep = new(parse("x: {choice: [0, 1]}", "random", samples=9, text="max_failures: 0"), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if config["x"] and not repaired:
            raise OSError("for now")
        return {"loss": config["x"]}

    repaired = False
    before = train(sweep, function)
    assert {(t.params["x"], t.state) for t in before} == {(0, COMPLETE), (1, FAIL)}
    repaired = True
    with sweep.writing():
        failed = [sample for sample, config, first in suggested(sweep) if config["x"] and not first]
        sweep.note(Retried(samples=failed))
    train(sweep, function)
    assert {(t.params["x"], t.state, t.value) for t in study_db(sweep)} == {
        (0, COMPLETE, 0),
        (1, COMPLETE, 1),
    }


FAULTY = """
    import math
    from optuna.samplers import RandomSampler

    class Sampler(RandomSampler):
        def {method}(self, study, trial, *rest):
            if trial.number == {number}:
                {action}
            return super().{method}(study, trial, *rest)
    """


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize(
    ("method", "action", "word"),
    [
        ("before_trial", "raise RuntimeError('no ideas')", "RuntimeError: no ideas"),
        ("sample_independent", "raise KeyError('twin')", "KeyError: 'twin'"),
        ("sample_independent", "return math.nan", "nan"),
        ("sample_independent", "return math.inf", "inf"),
        ("sample_independent", "return 99.5", "99.5"),
        ("sample_independent", "return 'high'", "high"),
        ("sample_independent", "return None", "None"),
    ],
)
def test_a_faulty_sampler_is_named_with_its_sample_and_keeps_what_was_trained(
    user_module: UserModule, tmp_path: Path, number: int, method: str, action: str, word: str
) -> None:
    sys.path.insert(0, str(tmp_path))
    name = user_module(FAULTY.format(method=method, number=number, action=action))
    sweep = new(parse(sampler=f"{name}:Sampler"), tmp_path)
    for _ in ("a run", "its resume"):
        with session(sweep) as (_, driver):
            Flight(driver, bowl).run()
        found = outcome.outcome(sweep, driver, [])
        assert isinstance(found, SpaceError if number == 0 else TrialsFailed)
        assert found.exit_code == (2 if number == 0 else 1)
        for part in (f"{name}:Sampler", f"sample {number + 1}", word):
            assert part in str(found)
        assert sweep.statuses() == ["finished"] * number
    frames = results.load(sweep)
    assert len(frames.trials) == number
    assert {"sample", "status", "twin", "n", "duration_s"} <= set(frames.trials)
    assert report.write(frames, tmp_path / "report", figures=False)
    assert exporting.export(frames, "csv").count(b"\n") == 1 + number


def test_a_sampler_that_raises_when_it_is_told_suggests_nothing_more(
    user_module: UserModule, tmp_path: Path
) -> None:
    sys.path.insert(0, str(tmp_path))
    name = user_module(FAULTY.format(method="after_trial", number=1, action="1 / 0"))
    sweep = new(parse(sampler=f"{name}:Sampler"), tmp_path)
    with session(sweep) as (_, driver):
        Flight(driver, bowl, lanes=3).run()
    assert set(sweep.statuses()) == {"finished"}, "those under way are trained to their end"
    assert 3 <= len(sweep.statuses()) < 12
    assert "told of sample 2: ZeroDivisionError" in str(outcome.outcome(sweep, driver, []))


@pytest.mark.parametrize("named", ["loss", "speed"])
def test_early_stopping_goes_by_the_metric_that_is_named(tmp_path: Path, named: str) -> None:
    text = f"{TWO_METRICS}\n{ASHA.replace('asha', f'asha, metric: {named}')}"
    sweep = new(parse(samples=12, sampler="random", text=text), tmp_path)
    trials = train(sweep, lambda c, replicate, epoch: {"loss": c["x"], "speed": c["y"]})
    pruned = [t for t in trials if t.state is PRUNED]
    assert pruned
    assert all(t.values is None for t in pruned)
    found = {d["sample"]: d["value"] for d in events(sweep, "decision")}
    for trial in trials:
        expected = trial.params[{"loss": "x", "speed": "y"}[named]]
        assert found.get(trial.user_attrs["sample"], expected) == expected
    best = {"loss": min, "speed": max}[named]
    kept = [t for t in trials if t.state is COMPLETE]
    key = {"loss": "x", "speed": "y"}[named]
    assert best(t.params[key] for t in trials) in [t.params[key] for t in kept]


def test_a_metric_that_is_missing_is_told(user_module: UserModule) -> None:
    name = user_module("def task(config, context):\n    yield {'loss': 1}\n    yield {'loss': 1}\n")
    space = parse(samples=3, text=TWO_METRICS).model_copy(update={"task": f"{name}:task"})
    asked = Request(space, name="one", address="inline")
    with pytest.raises(TrialsFailed, match='the metric "speed" is missing from epoch 1'):
        lifecycle.run(asked, asked.load()).train()


def test_one_that_waits_is_pruned_to_the_sampler_and_running_in_the_file(tmp_path: Path) -> None:
    sweep = new(parse(samples=8, text=PROMOTION), tmp_path)
    seen = train(sweep, reports=7)
    waiting = [sample for sample, status in enumerate(sweep.statuses(), 1) if status == "paused"]
    assert waiting
    for trials, state in ((seen, PRUNED), (study_db(sweep), TrialState.RUNNING)):
        assert {t.user_attrs["sample"] for t in trials if t.state is state} >= set(waiting)
    ended = train(sweep)
    assert {t.state for t in ended} == {COMPLETE, PRUNED}
    assert outcomes(study_db(sweep)) == outcomes(ended)
    for trial in ended:
        assert len(trial.intermediate_values) == (5 if trial.state is COMPLETE else trial.last_step)
