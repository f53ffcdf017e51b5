"""Optuna as the searcher: what it is asked, what it is told, and that the record alone decides on both."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lines import read, write
from optuna.trial import FrozenTrial, TrialState

from benchmarks.in_flight import Flight, Function
from tune_app import report, results, stopping
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.errors import SpaceError, TrialsFailed
from tune_app.report import exporting
from tune_app.search import restoring, study
from tune_app.search.sampler import OptunaSearch, make_sampler
from tune_app.session import launch, lifecycle, shutdown
from tune_app.session.launch import Request
from tune_app.sweep import Sweep, record
from tune_app.sweep.events import Extended, Opened, Retried

UserModule = Callable[[str], str]

SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "nsga2")
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL

BOWL = "x: {uniform: [-2, 2]}, y: {loguniform: [0.01, 100]}"


def parse(
    parameters: str = BOWL, sampler: str = "tpe", samples: int = 12, text: str = ""
) -> spaces.SearchSpace:
    """A space of two epochs and one seed, whose ``loss`` is to be least, unless ``text`` has others."""
    keys = "\n".join(
        line
        for line in ("epochs: 2", "seeds: 1", "metric: {name: loss, mode: min}", "seed: 3")
        if line.split(":")[0] not in {each.split(":")[0] for each in text.splitlines()}
    )
    return spaces.parse(
        f"task: nowhere:at_all\nspace: {{{parameters}}}\n"
        f"search: {{algorithm: optuna, sampler: '{sampler}', samples: {samples}}}\n{keys}\n{text}",
        file="my.yaml",
        name="my",
    )


def bowl(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    """Least at x = 0.5, y = 1; better in later epochs, a little worse in later replicates."""
    value = (config["x"] - 0.5) ** 2 + math.log10(config["y"]) ** 2 + replicate / 64
    return {"loss": value + 1 / epoch, "test_loss": 0.87654321}


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@contextlib.contextmanager
def sitting(sweep: Sweep, file: bool = True) -> Iterator[tuple[OptunaSearch, Driver]]:
    """A sitting as ``tune-app run`` holds it, with its searcher caught up; ``file``: with a study.db."""
    with sweep.writing():
        sweep.note(Opened(), durable=True)
        first = spaces.parse(sweep.header.yaml, name="my")
        search = OptunaSearch(first, sweep.paths.study if file else None, sweep.name)
        search.catch_up(event for _, event in record.read(sweep.paths.record))
        yield search, Driver(sweep, stopping.make(sweep.space), search)
        search.close()


def sit(
    sweep: Sweep, function: Function = bowl, lanes: int = 1, reports: int | None = None, file: bool = True
) -> list[FrozenTrial]:
    """One sitting, ended after so many reports as if killed then; what the sampler's study is at its end."""
    with sitting(sweep, file) as (search, driver):
        Flight(driver, function, lanes, lambda sample: 1 + sample * 0.377 % 1).run(reports)
        return search.trials() or seen(sweep)


def seen(sweep: Sweep) -> list[FrozenTrial]:
    """What the sampler would see if it were asked once more."""
    search = OptunaSearch(spaces.parse(sweep.header.yaml, name="my"))
    wider = spaces.extend(sweep.space, samples="+1").dump()
    recorded = [event for _, event in record.read(sweep.paths.record)]
    search.catch_up([*recorded, Extended(space=wider, asked="", from_start=False)])
    return search.trials()


def new(space: spaces.SearchSpace, runs: Path) -> Sweep:
    return Sweep.create(space, runs_dir=runs)


def shown(sweep: Sweep) -> list[FrozenTrial]:
    """The trials of ``study.db``, as Optuna reads them."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{sweep.paths.study}")
    try:
        return optuna.load_study(study_name=sweep.name, storage=storage).trials
    finally:
        storage.engine.dispose()


def events(sweep: Sweep, *names: str) -> list[dict[str, Any]]:
    return [event for _, event in read(sweep.paths.record) if event["event"] in names]


def suggested(sweep: Sweep) -> list[tuple[Any, ...]]:
    """What was planned, in order: sample, point, whose twin."""
    return [(e["sample"], e["config"], e["twin"]) for e in events(sweep, "planned")]


def outcomes(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    """Trials without what hangs on the clock: number, state, values, parameters, curve and sample."""
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs["sample"]) for t in trials
    ]


# ---------------------------------------------------------------- a whole sweep


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
    sweep = launch.train(asked, launch.gather(asked))
    assert sweep.statuses() == ["finished"] * 13
    trials = shown(sweep)
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
        sit(sweep)
    first, second, third = map(suggested, sweeps)
    assert first == third
    assert first != second


def test_a_direction_follows_from_the_mode(tmp_path: Path) -> None:
    found = {}
    for mode in ("min", "max"):
        sweep = new(
            parse("x: {uniform: [0, 1]}", samples=30, text=f"metric: {{name: v, mode: {mode}}}"), tmp_path
        )
        sit(sweep, lambda config, replicate, epoch: {"v": config["x"]})
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
    sit(sweep, lambda config, replicate, epoch: {"loss": config["c"] + config["d"] / 100})
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


# ---------------------------------------------------------------- exact points


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_exact_points_are_tried_first_and_told(tmp_path: Path, sampler: str) -> None:
    sweep = new(parse(sampler=sampler, samples=3, text="configs: [{x: 1, y: 1}, {x: 2.0, y: 0.1}]"), tmp_path)
    trials = sit(sweep)
    assert suggested(sweep)[:2] == [(1, {"x": 1, "y": 1}, None), (2, {"x": 2.0, "y": 0.1}, None)]
    assert [t.params for t in trials[:2]] == [{"x": 1, "y": 1}, {"x": 2, "y": 0.1}]
    assert [t.value for t in trials[:2]] == [0.75, 3.75]
    assert outcomes(shown(sweep)) == outcomes(trials)
    assert len(trials) == 5


def test_a_point_outside_of_the_space_is_tried_and_kept_from_the_sampler(tmp_path: Path) -> None:
    points = "configs: [{x: 3, y: 1}, {x: 1, y: 1}, {x: 1, y: 1, z: 5}, {x: true, y: 1}]"
    sweep = new(parse(samples=2, text=points), tmp_path)
    trials = sit(sweep)
    assert sweep.statuses() == ["finished"] * 6
    assert [t.user_attrs["sample"] for t in trials] == [2, 5, 6], "a sampler would take it for what it is not"
    first, second, third, fourth = shown(sweep)[:4]
    assert (first.params, first.user_attrs["outside"], first.value) == ({"y": 1}, {"x": 3}, 6.75)
    assert (second.params, third.params) == ({"x": 1, "y": 1},) * 2
    assert fourth.user_attrs["outside"] == {"x": True}
    again = new(parse(samples=2, text="configs: [{x: 1, y: 1}]"), tmp_path)
    sit(again)
    assert [p for _, p, _ in suggested(again)[1:]] == [p for _, p, _ in suggested(sweep)[4:]]


# ---------------------------------------------------------------- how a sample ends

ASHA = "stop: {scheduler: asha, grace_period: 2, reduction_factor: 2}\nepochs: 5"


def test_stopped_trials_are_pruned_with_every_value_that_they_reported(tmp_path: Path) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    trials = sit(sweep, lanes=3)
    states = [t.state for t in trials]
    assert states == [{"finished": COMPLETE, "stopped": PRUNED}[status] for status in sweep.statuses()]
    assert {COMPLETE, PRUNED} == set(states)
    for trial in trials:
        reached = 5 if trial.state is COMPLETE else max(trial.intermediate_values)
        assert reached in (2, 4, 5)
        value = bowl(trial.params, 0, 1)["loss"] - 1
        assert trial.intermediate_values == {epoch: value + 1 / epoch for epoch in range(1, reached + 1)}
        assert trial.value == trial.intermediate_values[reached]
    assert outcomes(shown(sweep)) == outcomes(trials)
    assert {t.user_attrs["status"] for t in shown(sweep)} == {"finished", "stopped"}


def mishaps(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    """The bowl, with a wall that fails and a hole that diverges in the second epoch, of one seed alone."""
    if config["x"] > 1:
        raise OSError("a wall")
    gone = config["x"] < -1 and replicate == 0 and epoch == 2
    return {"loss": math.inf} if gone else bowl(config, replicate, epoch)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("early", ["", ASHA])
def test_what_diverged_or_failed_is_told_as_failed(tmp_path: Path, seeds: int, early: str) -> None:
    sweep = new(parse(samples=25, text=f"{early}\nseeds: {seeds}\nmax_failures: 1"), tmp_path)
    trials = sit(sweep, mishaps, lanes=2)
    by_state = {"finished": COMPLETE, "stopped": PRUNED, "diverged": FAIL, "failed": FAIL}
    assert [t.state for t in trials] == [by_state[status] for status in sweep.statuses()]
    assert {"diverged", "failed", "finished"} <= set(sweep.statuses())
    for trial, status in zip(trials, sweep.statuses(), strict=True):
        assert (trial.value is None) == (trial.state is FAIL)
        if status == "diverged":
            assert list(trial.intermediate_values) == [1]
        if status == "failed":
            assert trial.intermediate_values == {}
    assert outcomes(shown(sweep)) == outcomes(trials)


def test_one_seed_that_diverges_is_told_once_the_others_have_ended(tmp_path: Path) -> None:
    sweep = new(parse(samples=1, text="seeds: 2\nepochs: 3\nconfigs: [{x: -2, y: 1}]"), tmp_path)
    with sitting(sweep) as (search, driver):
        Flight(driver, mishaps).run(reports=2)
        [first, *_] = search.trials()
        assert events(sweep, "diverged")
        assert first.state is TrialState.RUNNING
    trials = sit(sweep, mishaps)
    assert [t.state for t in trials] == [FAIL, COMPLETE]
    assert [list(t.intermediate_values) for t in trials] == [[1], [1, 2, 3]], "no mean of what is left"
    assert outcomes(shown(sweep)) == outcomes(trials)


@pytest.mark.parametrize(("evaluate", "expected"), [("last", 6.0), ("best", 3.0)])
def test_the_mean_over_the_seeds_at_the_evaluated_epoch_is_told(
    tmp_path: Path, evaluate: str, expected: float
) -> None:
    losses = {0: [9.0, 2.0, 4.0], 1: [4.0, 6.0, 8.0]}  # the best of each: in another epoch
    sweep = new(parse(samples=1, text=f"seeds: 2\nepochs: 3\nevaluate: {evaluate}"), tmp_path)
    [trial] = sit(sweep, lambda config, replicate, epoch: {"loss": losses[replicate][epoch - 1]})
    assert trial.value == expected
    assert trial.intermediate_values == {1: 6.5, 2: 4.0, 3: 6.0}


# ---------------------------------------------------------------- twins


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2"])
def test_a_point_asked_for_twice_trains_nothing_and_is_told_the_same(
    tmp_path: Path, sampler: str, lanes: int
) -> None:
    sweep = new(parse("x: {choice: [0, 1, 2]}", sampler, samples=12, text=ASHA), tmp_path)
    trials = sit(sweep, lambda config, replicate, epoch: {"loss": config["x"] + 1 / epoch}, lanes)
    planned = suggested(sweep)
    assert len({started["sample"] for started in events(sweep, "started")}) <= 3
    twins = [(sample, twin) for sample, _, twin in planned if twin]
    assert len(planned) == 12 == len(trials)
    assert len(twins) >= 9
    for sample, twin in twins:
        one, other = trials[twin - 1], trials[sample - 1]
        assert (one.state, one.values, one.params) == (other.state, other.values, other.params)
        assert one.intermediate_values == other.intermediate_values
    assert TrialState.RUNNING not in {t.state for t in trials}
    assert outcomes(shown(sweep)) == outcomes(trials)
    assert [t.user_attrs.get("twin") for t in shown(sweep)] == [twin for *_, twin in planned]


def test_twins_of_a_failure_fail_with_it_and_are_mended_with_it(tmp_path: Path) -> None:
    sweep = new(parse("x: {choice: [0, 1]}", "random", samples=9, text="max_failures: 0"), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if config["x"] and not mended:
            raise OSError("for now")
        return {"loss": config["x"]}

    mended = False
    before = sit(sweep, function)
    assert {(t.params["x"], t.state) for t in before} == {(0, COMPLETE), (1, FAIL)}
    mended = True
    with sweep.writing():
        failed = [sample for sample, config, twin in suggested(sweep) if config["x"] and not twin]
        sweep.note(Retried(samples=failed))
    sit(sweep, function)
    assert {(t.params["x"], t.state, t.value) for t in shown(sweep)} == {(0, COMPLETE, 0), (1, COMPLETE, 1)}


# ---------------------------------------------------------------- catching up


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], tuple[Sweep, list[FrozenTrial]]]:
    """Sweeps that were never interrupted, each made once."""
    made: dict[tuple[str, int], tuple[Sweep, list[FrozenTrial]]] = {}

    def make(sampler: str, lanes: int) -> tuple[Sweep, list[FrozenTrial]]:
        if (sampler, lanes) not in made:
            sweep = new(lively(sampler), tmp_path_factory.mktemp(sampler))
            made[sampler, lanes] = sweep, sit(sweep, mishaps, lanes, file=False)
        return made[sampler, lanes]

    return make


def lively(sampler: str) -> spaces.SearchSpace:
    """A search in which everything happens; long enough for each sampler to have left its start."""
    samples = {"nsga2": 56, "gp": 13}.get(sampler, 22)
    return parse(
        f"{BOWL}, z: {{choice: [a, b]}}, u: {{quniform: [0, 1, 0.1], when: {{z: b}}}}",
        sampler,
        samples,
        f"{ASHA}\nmax_failures: 0\nconfigs: [{{x: 1, y: 1, z: a}}, {{x: 5, y: 1, z: a}}]",
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_a_kill_anywhere_the_search_goes_on_as_if_it_had_never_stopped(
    sampler: str, data: st.DataObject, whole: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    sweep, trials = whole(sampler, 1)
    record = sweep.paths.record.read_bytes()
    begin = record.index(b'"opened"')
    kill = data.draw(st.integers(begin, len(record)), label="bytes of the record that reached the disk")
    again = new(lively(sampler), tmp_path_factory.mktemp("killed"))
    again.paths.record.write_bytes(record[:kill])
    again = Sweep.open(again.paths.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tune_app.driver.driver.ALIKE_FAILURES", 99
        )  # a session counts only failures of its own
        after = sit(again, mishaps, file=False)
    assert suggested(again) == suggested(sweep)
    assert outcomes(after) == outcomes(trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_with_several_trials_in_flight_catching_up_leads_to_the_same_next_point(
    sampler: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The order in which trials end differs after a kill; what is asked next from one record does not."""
    sweep = new(lively(sampler), tmp_path_factory.mktemp("flight"))
    reports = data.draw(st.integers(1, 70 if sampler != "gp" else 25), label="reports before the kill")
    with sitting(sweep, file=False) as (live, driver):
        Flight(driver, mishaps, 3, lambda sample: 1 + sample * 0.377 % 1).run(reports)
        again = OptunaSearch(sweep.space)
        again.catch_up(event for _, event in record.read(sweep.paths.record))
        assert again.departs_at is None
        if sum("asked" in event for event in events(sweep, "planned")) < (sweep.space.search.samples or 0):
            assert outcomes(again.trials()) == outcomes(live.trials())
            assert again.ask(1000) == live.ask(1000)
    trials = sit(sweep, mishaps, lanes=3, file=False)
    assert TrialState.RUNNING not in {t.state for t in trials}
    numbers = [t.user_attrs["sample"] for t in trials]
    assert numbers == [1, *range(3, len(numbers) + 2)], "none twice, none lost; 2 is outside of the space"


def test_where_the_sampler_departs_what_is_recorded_stands(tmp_path: Path) -> None:
    """As another version of Optuna, or another processor, may suggest something else."""
    sweep = new(parse(samples=8), tmp_path)
    sit(sweep, reports=9)
    changed = [event for _, event in read(sweep.paths.record)]
    third = next(e for e in changed if e.get("sample") == 3)["config"]
    third["x"] = 0.125
    write(sweep.paths.record, changed)
    again = Sweep.open(sweep.paths.folder)
    with sitting(again) as (search, driver):
        assert search.departs_at == 3
        assert [t.params for t in search.trials()] == [config for _, config, _ in suggested(again)]
        Flight(driver, bowl).run()
        trials = search.trials()
    assert trials[2].params == {"x": 0.125, "y": third["y"]}
    assert again.statuses() == ["finished"] * 8
    assert outcomes(shown(again)) == outcomes(trials)


def test_nothing_is_asked_of_the_sampler_where_no_point_is_lacking(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    sit(sweep)
    with sitting(sweep) as (search, _), pytest.raises(RuntimeError, match="nothing is left"):
        search.ask(4)


# ---------------------------------------------------------------- more is wanted


def extend(sweep: Sweep, **more: str) -> None:
    with sweep.writing():
        sweep.extend(spaces.extend(sweep.space, **more), str(more), from_start=False)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_samples_go_on_as_if_they_had_been_wanted_from_the_start(tmp_path: Path, sampler: str) -> None:
    sweep = new(parse(sampler=sampler, samples=11), tmp_path)
    sit(sweep)
    extend(sweep, samples="+2")
    trials = sit(sweep)
    straight = new(parse(sampler=sampler, samples=13), tmp_path)
    assert outcomes(trials) == outcomes(sit(straight))
    assert suggested(sweep) == suggested(straight)


@pytest.mark.parametrize("more", [{"seeds": "+1"}, {"epochs": "+2"}, {"seeds": "+1", "epochs": "+2"}])
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_sampler_learns_what_more_seeds_and_epochs_bring(
    tmp_path: Path, sampler: str, more: dict[str, str]
) -> None:
    """What was told before is corrected before the next point is asked for."""
    sweep = new(parse(sampler=sampler, samples=8, text="seeds: 2"), tmp_path)
    before = sit(sweep)
    extend(sweep, samples="+4", **more)
    after = sit(sweep)
    seeds, epochs = sweep.space.seeds, sweep.space.epochs
    shift = (0.0 + 1 + (2 if seeds == 3 else 0)) / 64 / seeds
    assert len(after) == 12
    for trial in after:
        value = bowl(trial.params, 0, epochs)["loss"]
        assert trial.value == pytest.approx(value + shift, abs=1e-12)
        assert max(trial.intermediate_values) == epochs
    assert [t.params for t in after[:8]] == [t.params for t in before]
    assert outcomes(shown(sweep)) == outcomes(after)
    assert outcomes(seen(sweep)) == outcomes(after)


def test_the_correction_comes_before_the_next_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    def look(_: Any, study: optuna.Study, trial: FrozenTrial) -> None:
        seen.append(outcomes([t for t in study.get_trials() if t.state.is_finished()]))

    sweep = new(parse(sampler="random", samples=3), tmp_path)
    sit(sweep)
    extend(sweep, samples="+2", epochs="+1")
    monkeypatch.setattr(optuna.samplers.RandomSampler, "before_trial", look)
    trials = sit(sweep)
    assert [len(each) for each in seen] == [0, 1, 2, 3, 4]
    assert [each[2] for each in seen[3]] == [[bowl(t.params, 0, 3)["loss"]] for t in trials[:3]]
    assert seen[4] == outcomes(trials[:4])


def test_while_more_is_trained_the_file_shows_it_as_running(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    sit(sweep)
    extend(sweep, epochs="+1")
    with sitting(sweep):
        assert {t.state for t in shown(sweep)} == {TrialState.RUNNING}
    sit(sweep)
    assert {t.state for t in shown(sweep)} == {COMPLETE}


def test_a_retried_failure_counts_as_what_came_of_it(tmp_path: Path) -> None:
    sweep = new(parse(samples=9, text="max_failures: 0"), tmp_path)
    before = sit(sweep, mishaps)
    failed = [t.user_attrs["sample"] for t in before if t.params["x"] > 1]
    assert failed
    with sweep.writing():
        sweep.note(Retried(samples=failed))
    extend(sweep, samples="+2")
    after = sit(sweep)
    for sample in failed:
        assert before[sample - 1].state is FAIL
        assert after[sample - 1].state is COMPLETE
        assert after[sample - 1].value == bowl(after[sample - 1].params, 0, 2)["loss"]
    assert outcomes(shown(sweep)) == outcomes(after)


# ---------------------------------------------------------------- the file


def test_no_test_metric_is_in_the_study_while_it_searches(tmp_path: Path) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    with sitting(sweep) as (search, driver):
        Flight(driver, bowl, lanes=2).run()
        assert events(sweep, "finished")[0]["test"] == {"test_loss": [0.87654321]}
        raw = sweep.paths.study.read_bytes()
        assert struct.pack(">d", 0.87654321) not in raw
        for word in (b"0.87654321", b"test_loss"):
            assert word not in raw
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database:
            tables = [
                name for (name,) in database.execute("select name from sqlite_master where type='table'")
            ]
            cells = [
                cell for table in tables for row in database.execute(f"select * from {table}") for cell in row
            ]
        assert len(cells) > 500
        assert not [c for c in cells if c == 0.87654321 or (isinstance(c, str) and "0.87654" in c)]
        assert "test_loss" not in str([(t.user_attrs, t.system_attrs) for t in search.trials()])


def test_what_is_noted_in_the_dashboard_stays_as_long_as_it_can(tmp_path: Path) -> None:
    sweep = new(parse(samples=6, text=ASHA), tmp_path)
    sit(sweep, reports=11)
    storage = optuna.storages.RDBStorage(f"sqlite:///{sweep.paths.study}")
    storage.set_study_system_attr(1, "dashboard:0:note_str:0", "look at this one")
    storage.engine.dispose()
    inode = sweep.paths.study.stat().st_ino
    trials = sit(sweep)
    assert sweep.paths.study.stat().st_ino == inode
    assert outcomes(shown(sweep)) == outcomes(trials)

    def notes() -> list[str]:
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database:
            return [row[0] for row in database.execute("select value_json from study_system_attributes")]

    assert '"look at this one"' in notes()
    extend(sweep, seeds="+1")  # takes back how they ended, which Optuna cannot
    sit(sweep)
    assert '"look at this one"' not in notes()


def test_a_value_that_somebody_changed_is_set_right(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    trials = sit(sweep)
    for change in (
        "update trial_values set value = 7 where trial_id = 2",
        "update trial_params set param_value = 1 where trial_id = 1",
        "update trial_intermediate_values set intermediate_value = 7",
        "update trials set state = 'FAIL'",
        "update studies set study_name = 'other'",
        "update study_directions set direction = 'MAXIMIZE'",
        "update version_info set schema_version = 1",
        "update alembic_version set version_num = 'v0.9.0.a'",
        "delete from trial_user_attributes",
        "drop table trial_values",
    ):
        with contextlib.closing(sqlite3.connect(sweep.paths.study)) as database, database:
            assert database.execute(change)
        sit(sweep)
        assert outcomes(shown(sweep)) == outcomes(trials), change


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(b"not a database at all, but long enough to be taken for one" * 100)
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "holes":
            path.write_bytes(raw[:4096] + bytes(len(raw) - 4096))
        case "journal":  # as a crash in mid-write leaves it: pages that would be put back
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("pragma cache_size = 1")
                database.execute("begin immediate")
                database.execute("update trial_user_attributes set value_json = hex(zeroblob(3000))")
                left = path.with_name("study.db-journal").read_bytes()
                database.execute("rollback")
            path.with_name("study.db-journal").write_bytes(left)
        case "another":
            with contextlib.closing(sqlite3.connect(path)) as database, database:
                database.execute("delete from trials where trial_id > 2")


DAMAGE = ["missing", "empty", "garbage", "cut", "holes", "journal", "another"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_missing_or_damaged_file_is_made_again(tmp_path: Path, how: str) -> None:
    sweep = new(parse(text=ASHA), tmp_path)
    sit(sweep, reports=20)
    damage(sweep.paths.study, how)
    trials = sit(sweep)
    assert outcomes(shown(sweep)) == outcomes(trials)
    straight = new(parse(text=ASHA), tmp_path)
    assert [t[1:5] for t in outcomes(trials)] == [t[1:5] for t in outcomes(sit(straight))]


@pytest.mark.parametrize("how", ["missing", "garbage", "cut", "another"])
def test_a_file_that_is_damaged_while_the_sweep_trains_is_made_again(tmp_path: Path, how: str) -> None:
    sweep = new(parse(samples=8), tmp_path)
    with sitting(sweep) as (_, driver):
        Flight(driver, bowl).run(reports=6)
        damage(sweep.paths.study, how)
        # the trial that was under way is killed with it
    trials = sit(sweep)
    assert outcomes(shown(sweep)) == outcomes(trials)

    sweep = new(parse(samples=8), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == 6:
            damage(sweep.paths.study, how)
        return bowl(config, replicate, epoch)

    calls = itertools.count()
    trials = sit(sweep, function)
    assert next(calls) == 16
    assert outcomes(shown(sweep)) == outcomes(trials)


def test_somebody_who_meddles_with_a_running_trial_is_overruled(tmp_path: Path) -> None:
    sweep = new(parse(samples=4), tmp_path)

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == 3:
            study = optuna.load_study(study_name=sweep.name, storage=f"sqlite:///{sweep.paths.study}")
            study.tell(study.trials[-1].number, 1e9)
        return bowl(config, replicate, epoch)

    calls = itertools.count()
    trials = sit(sweep, function)
    assert outcomes(shown(sweep)) == outcomes(trials)


@contextlib.contextmanager
def unwritable(path: Path, how: str) -> Iterator[None]:
    """A ``study.db`` that cannot be written: a folder in its place, or a lock of another process."""
    if how == "folder":
        path.unlink(missing_ok=True)
        path.mkdir()
        yield
        path.rmdir()
        return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.parametrize("how", ["folder", "lock"])
@pytest.mark.parametrize("since", [0, 3])
def test_a_study_file_that_cannot_be_written_never_ends_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, since: int
) -> None:
    monkeypatch.setattr(study, "_PATIENCE_S", 0.1)
    sweep, calls = new(parse(samples=4), tmp_path), itertools.count()
    told: list[str] = []

    def function(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
        if next(calls) == since:
            stack.enter_context(unwritable(sweep.paths.study, how))
        return bowl(config, replicate, epoch)

    with contextlib.ExitStack() as stack:
        with sitting(sweep) as (search, driver):
            monkeypatch.setattr(search, "_tell_user", told.append)
            Flight(driver, function).run()
            trials = search.trials()
        assert (driver.ending, driver.fatal, sweep.statuses()) == (None, None, ["finished"] * 4)
        assert len(told) == 1
        assert "study.db" in told[0]
        restoring.restore_study(sweep, told.append)
        assert len(told) == 2
    restoring.restore_study(sweep, told.append)
    assert len(told) == 2
    assert outcomes(shown(sweep)) == outcomes(trials)


def test_a_study_that_another_thread_wrote_is_closed_without_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray's calls have a thread of their own."""
    sweep = new(parse(samples=2), tmp_path)
    with sitting(sweep) as (_, driver):
        thread = threading.Thread(target=Flight(driver, bowl).run)
        thread.start()
        thread.join()
    assert sweep.statuses() == ["finished"] * 2
    assert caplog.records == []


def test_an_odd_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "50% {of} a ?query#"
    folder.mkdir()
    sweep = new(parse(samples=2), folder)
    sit(sweep)
    assert sweep.paths.study.stat().st_size > 10_000


def test_trials_carry_the_times_of_the_record(tmp_path: Path) -> None:
    sweep = new(parse(samples=2), tmp_path)
    sit(sweep)
    times = itertools.count(1e9, 10)
    write(sweep.paths.record, [{**event, "t": next(times)} for _, event in read(sweep.paths.record)])
    at = {
        (e["event"], e.get("sample") or int(e["trial"][0])): e["t"]
        for e in events(sweep, "started", "finished")
    }
    sweep.paths.study.unlink()
    again = Sweep.open(sweep.paths.folder)
    sit(again)
    for trial in shown(again):
        assert trial.datetime_start
        assert trial.datetime_complete
        sample = trial.user_attrs["sample"]
        assert trial.datetime_start.timestamp() == at["started", sample]
        assert trial.datetime_complete.timestamp() == at["finished", sample]


# ---------------------------------------------------------------- a sampler of the user's


@pytest.mark.parametrize(
    ("source", "reference", "words"),
    [
        ("", "nowhere_at_all:Sampler", ["ModuleNotFoundError"]),
        ("", "MODULE:Sampler", ["AttributeError"]),
        ("def Sampler(seed): raise ValueError('no luck')", "MODULE:Sampler", ["ValueError: no luck"]),
        ("class Sampler: pass", "MODULE:Sampler", ["TypeError"]),
        ("def Sampler(seed): return seed", "MODULE:Sampler", ["makes a int", "optuna BaseSampler"]),
    ],
)
def test_a_sampler_that_cannot_be_had_is_told_before_anything_is_written(
    user_module: UserModule, source: str, reference: str, words: list[str]
) -> None:
    name = user_module(source + "\ndef task(config, context):\n    yield {}\n")
    space = parse(sampler=reference.replace("MODULE", name))
    asked = Request(space.model_copy(update={"task": f"{name}:task"}), address="inline")
    with pytest.raises(SpaceError) as caught:
        launch.gather(asked)
    for word in (f"search.sampler: {space.search.sampler}", *words):
        assert word in str(caught.value)
    assert not Path("runs").exists()


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
        with sitting(sweep) as (_, driver):
            Flight(driver, bowl).run()
        outcome = shutdown.outcome(sweep, driver, [])
        assert isinstance(outcome, SpaceError if number == 0 else TrialsFailed)
        assert outcome.exit_code == (2 if number == 0 else 1)
        for part in (f"{name}:Sampler", f"sample {number + 1}", word):
            assert part in str(outcome)
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
    with sitting(sweep) as (_, driver):
        Flight(driver, bowl, lanes=3).run()
    assert set(sweep.statuses()) == {"finished"}, "those under way are trained to their end"
    assert 3 <= len(sweep.statuses()) < 12
    assert "told of sample 2: ZeroDivisionError" in str(shutdown.outcome(sweep, driver, []))


def test_a_sampler_that_has_suggested_every_point_repeats_them(tmp_path: Path) -> None:
    sampler = "optuna.samplers:BruteForceSampler"
    sweep = new(parse("x: {choice: [0, 1]}, y: {choice: [1, 10]}", sampler, samples=6), tmp_path)
    sit(sweep)
    assert [c.twin is None for c in sweep.history.configurations.values()] == [True] * 4 + [False] * 2
    assert sweep.statuses() == ["finished"] * 6


# ---------------------------------------------------------------- several metrics

TWO = "metric: [{name: loss, mode: min}, {name: speed, mode: max}]"


def two(config: Mapping[str, Any], replicate: int, epoch: int) -> dict[str, float]:
    if config["x"] > 1.9:
        raise OSError("a wall")
    return {**bowl(config, replicate, epoch), "speed": config["y"] + epoch}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_several_metrics_are_told_together(tmp_path: Path, sampler: str) -> None:
    sweep = new(parse(sampler=sampler, samples=60, text=f"{TWO}\nmax_failures: 0\nseeds: 2"), tmp_path)
    with sitting(sweep) as (search, driver):
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
    assert outcomes(seen(sweep)) == outcomes(trials)


def test_the_best_epoch_goes_by_the_first_metric(tmp_path: Path) -> None:
    losses, speeds = [3.0, 1.0, 1.0, 2.0], [10.0, 20.0, 30.0, 40.0]
    sweep = new(parse(samples=1, text=f"{TWO}\nepochs: 4\nevaluate: best"), tmp_path)
    [trial] = sit(
        sweep, lambda config, replicate, epoch: {"loss": losses[epoch - 1], "speed": speeds[epoch - 1]}
    )
    assert trial.values == [1.0, 20.0], "the first of two that are best"


@pytest.mark.parametrize("named", ["loss", "speed"])
def test_early_stopping_goes_by_the_metric_that_is_named(tmp_path: Path, named: str) -> None:
    text = f"{TWO}\n{ASHA.replace('asha', f'asha, metric: {named}')}"
    sweep = new(parse(samples=12, sampler="random", text=text), tmp_path)
    trials = sit(sweep, lambda c, replicate, epoch: {"loss": c["x"], "speed": c["y"]})
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
    space = parse(samples=3, text=TWO).model_copy(update={"task": f"{name}:task"})
    asked = Request(space, name="one", address="inline")
    with pytest.raises(TrialsFailed, match='the metric "speed" is missing from epoch 1'):
        launch.train(asked, launch.gather(asked))


# ---------------------------------------------------------------- beside the sampler by itself


def test_samplers_have_the_options_that_are_documented() -> None:
    tpe = make_sampler(parse())
    assert isinstance(tpe, optuna.samplers.TPESampler)
    named = {
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
        "cmaes": optuna.samplers.CmaEsSampler,
        "random": optuna.samplers.RandomSampler,
        "qmc": optuna.samplers.QMCSampler,
        "nsga2": optuna.samplers.NSGAIISampler,
    }
    assert {name: type(make_sampler(parse(sampler=name))) for name in named} == named


def test_the_command_line_goes_on_with_a_search(user_module: UserModule) -> None:
    name = user_module("def task(config, context):\n    yield {'loss': config['x']}\n")
    space = parse("x: {uniform: [0, 1]}", samples=3, text="epochs: 1").model_copy(
        update={"task": f"{name}:task"}
    )
    asked = Request(space, name="one", address="inline")
    launch.train(asked, launch.gather(asked))
    sweep = Sweep.open(Path("runs/one"))
    again = lifecycle.request_for(sweep, address="inline")
    wider = spaces.extend(sweep.space, samples="+2")
    lifecycle.extend(again, lifecycle.gather(again, sweep), sweep, wider, "--samples +2")
    assert [t.state for t in shown(sweep)] == [COMPLETE] * 5
