"""A search that is resumed or extended continues as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lines import read, write
from optuna.trial import FrozenTrial, TrialState
from searching import (
    ASHA,
    BOWL,
    COMPLETE,
    FAIL,
    PROMOTION,
    SAMPLERS,
    bowl,
    events,
    extend,
    failing,
    new,
    outcomes,
    parse,
    replayed,
    session,
    study_db,
    suggested,
    train,
)

from benchmarks.in_flight import Flight
from tune_app import space as spaces
from tune_app.search.searcher import OptunaSearch
from tune_app.session import lifecycle
from tune_app.session.request import Request, request_for
from tune_app.sweep import Sweep, record
from tune_app.sweep.events import Retried

UserModule = Callable[[str], str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Sweep, list[FrozenTrial]]]:
    """Sweeps that were never interrupted, each made once."""
    made: dict[tuple[str, str], tuple[Sweep, list[FrozenTrial]]] = {}

    def make(sampler: str, stop: str) -> tuple[Sweep, list[FrozenTrial]]:
        if (sampler, stop) not in made:
            sweep = new(eventful(sampler, stop), tmp_path_factory.mktemp(sampler))
            made[sampler, stop] = sweep, train(sweep, failing, file=False)
        return made[sampler, stop]

    return make


def eventful(sampler: str, stop: str = ASHA) -> spaces.SearchSpace:
    """A search in which everything happens; long enough for each sampler to have left its start."""
    samples = {"nsga2": 56, "gp": 13}.get(sampler, 22)
    return parse(
        f"{BOWL}, z: {{choice: [a, b]}}, u: {{quniform: [0, 1, 0.1], when: {{z: b}}}}",
        sampler,
        samples,
        f"{stop}\nmax_failures: 0\nconfigs: [{{x: 1, y: 1, z: a}}, {{x: 5, y: 1, z: a}}]",
    )


@pytest.mark.parametrize(
    ("sampler", "stop"), [*((each, ASHA) for each in SAMPLERS), ("tpe", PROMOTION), ("gp", PROMOTION)]
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_a_kill_anywhere_the_search_goes_on_as_if_it_had_never_stopped(
    sampler: str,
    stop: str,
    data: st.DataObject,
    whole: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sweep, trials = whole(sampler, stop)
    record = sweep.paths.record.read_bytes()
    begin = record.index(b'"opened"')
    kill = data.draw(st.integers(begin, len(record)), label="bytes of the record that reached the disk")
    again = new(eventful(sampler, stop), tmp_path_factory.mktemp("killed"))
    again.paths.record.write_bytes(record[:kill])
    again = Sweep.open(again.paths.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tune_app.driver.alike_failures.ALIKE_FAILURES", 99
        )  # a session counts only failures of its own
        after = train(again, failing, file=False)
    assert suggested(again) == suggested(sweep)
    assert outcomes(after) == outcomes(trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_with_several_trials_in_flight_catching_up_leads_to_the_same_next_point(
    sampler: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The order in which trials end differs after a kill; what is asked next from one record does not."""
    sweep = new(eventful(sampler), tmp_path_factory.mktemp("flight"))
    reports = data.draw(st.integers(1, 70 if sampler != "gp" else 25), label="reports before the kill")
    with session(sweep, file=False) as (live, driver):
        Flight(driver, failing, 3, lambda sample: 1 + sample * 0.377 % 1).run(reports)
        again = OptunaSearch(sweep.space)
        again.catch_up(event for _, event in record.read(sweep.paths.record))
        assert again.departs_at is None
        if sum("asked" in event for event in events(sweep, "planned")) < (sweep.space.search.samples or 0):
            assert outcomes(again.trials()) == outcomes(live.trials())
            assert again.ask(1000) == live.ask(1000)
    trials = train(sweep, failing, lanes=3, file=False)
    assert TrialState.RUNNING not in {t.state for t in trials}
    numbers = [t.user_attrs["sample"] for t in trials]
    assert numbers == [1, *range(3, len(numbers) + 2)], "none twice, none lost; 2 is outside of the space"


def test_where_the_sampler_departs_what_is_recorded_stands(tmp_path: Path) -> None:
    """As another version of Optuna, or another processor, may suggest something else."""
    sweep = new(parse(samples=8), tmp_path)
    train(sweep, reports=9)
    changed = [event for _, event in read(sweep.paths.record)]
    third = next(e for e in changed if e.get("sample") == 3)["config"]
    third["x"] = 0.125
    write(sweep.paths.record, changed)
    again = Sweep.open(sweep.paths.folder)
    with session(again) as (search, driver):
        assert search.departs_at == 3
        assert [t.params for t in search.trials()] == [config for _, config, _ in suggested(again)]
        Flight(driver, bowl).run()
        trials = search.trials()
    assert trials[2].params == {"x": 0.125, "y": third["y"]}
    assert again.statuses() == ["finished"] * 8
    assert outcomes(study_db(again)) == outcomes(trials)


def test_nothing_is_asked_of_the_sampler_where_no_point_is_lacking(tmp_path: Path) -> None:
    sweep = new(parse(samples=3), tmp_path)
    train(sweep)
    with session(sweep) as (search, _), pytest.raises(RuntimeError, match="no sample is left"):
        search.ask(4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_samples_go_on_as_if_they_had_been_wanted_from_the_start(tmp_path: Path, sampler: str) -> None:
    sweep = new(parse(sampler=sampler, samples=11), tmp_path)
    train(sweep)
    extend(sweep, samples="+2")
    trials = train(sweep)
    straight = new(parse(sampler=sampler, samples=13), tmp_path)
    assert outcomes(trials) == outcomes(train(straight))
    assert suggested(sweep) == suggested(straight)


@pytest.mark.parametrize("more", [{"seeds": "+1"}, {"epochs": "+2"}, {"seeds": "+1", "epochs": "+2"}])
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_sampler_learns_what_more_seeds_and_epochs_bring(
    tmp_path: Path, sampler: str, more: dict[str, str]
) -> None:
    """What was told before is corrected before the next point is asked for."""
    sweep = new(parse(sampler=sampler, samples=8, text="seeds: 2"), tmp_path)
    before = train(sweep)
    extend(sweep, samples="+4", **more)
    after = train(sweep)
    seeds, epochs = sweep.space.seeds, sweep.space.epochs
    shift = (0.0 + 1 + (2 if seeds == 3 else 0)) / 64 / seeds
    assert len(after) == 12
    for trial in after:
        value = bowl(trial.params, 0, epochs)["loss"]
        assert trial.value == pytest.approx(value + shift, abs=1e-12)
        assert max(trial.intermediate_values) == epochs
    assert [t.params for t in after[:8]] == [t.params for t in before]
    assert outcomes(study_db(sweep)) == outcomes(after)
    assert outcomes(replayed(sweep)) == outcomes(after)


def test_the_correction_comes_before_the_next_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    def look(_: Any, study: optuna.Study, trial: FrozenTrial) -> None:
        seen.append(outcomes([t for t in study.get_trials() if t.state.is_finished()]))

    sweep = new(parse(sampler="random", samples=3), tmp_path)
    train(sweep)
    extend(sweep, samples="+2", epochs="+1")
    monkeypatch.setattr(optuna.samplers.RandomSampler, "before_trial", look)
    trials = train(sweep)
    assert [len(each) for each in seen] == [0, 1, 2, 3, 4]
    assert [each[2] for each in seen[3]] == [[bowl(t.params, 0, 3)["loss"]] for t in trials[:3]]
    assert seen[4] == outcomes(trials[:4])


def test_a_retried_failure_counts_as_what_came_of_it(tmp_path: Path) -> None:
    sweep = new(parse(samples=9, text="max_failures: 0"), tmp_path)
    before = train(sweep, failing)
    failed = [t.user_attrs["sample"] for t in before if t.params["x"] > 1]
    assert failed
    with sweep.writing():
        sweep.note(Retried(samples=failed))
    extend(sweep, samples="+2")
    after = train(sweep)
    for sample in failed:
        assert before[sample - 1].state is FAIL
        assert after[sample - 1].state is COMPLETE
        assert after[sample - 1].value == bowl(after[sample - 1].params, 0, 2)["loss"]
    assert outcomes(study_db(sweep)) == outcomes(after)


def test_the_command_line_goes_on_with_a_search(user_module: UserModule) -> None:
    name = user_module("def task(config, context):\n    yield {'loss': config['x']}\n")
    space = parse("x: {uniform: [0, 1]}", samples=3, text="epochs: 1").model_copy(
        update={"task": f"{name}:task"}
    )
    asked = Request(space, name="one", address="inline")
    lifecycle.run(asked, asked.load()).train()
    sweep = Sweep.open(Path("runs/one"))
    again = request_for(sweep, address="inline")
    wider = spaces.extend(sweep.space, samples="+2")
    lifecycle.extend(again, again.load(sweep), sweep, wider, "--samples +2").train()
    assert [t.state for t in study_db(sweep)] == [COMPLETE] * 5
