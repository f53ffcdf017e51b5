"""Confirmations of the best configurations on new seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_task import (
    GRID,
    TASK,
    again,
    request,
    run,
)

from tune_app import results
from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.session import lifecycle
from tune_app.session.session import Session
from tune_app.sweep import Sweep, find_sample

UserModule = Callable[[str], str]


def test_the_best_are_confirmed_on_seeds_that_are_new(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, GRID.replace("[0.01, 0.1]", "[0.001, 0.01, 0.1]") + "choose: {window: 2}\n"))
    asked, loaded, sweep = again("one")
    best = [int(each) for each in results.ranked(results.load(sweep))["sample"]]

    def confirmed() -> Sweep:
        return Session(lifecycle.confirmation(asked, sweep, top=2, seeds=3), loaded).train()

    first, second = confirmed(), confirmed()
    assert (first.name, second.name) == ("one-confirm", "one-confirm-2")
    assert first.header.confirms == "one"
    for number, made in enumerate((first, second)):
        assert made.statuses() == ["finished"] * 2
        assert made.space.choose == sweep.space.choose
        configs = [c.config for c in made.history.configurations.values()]
        assert configs == [sweep.history.configurations[sample].config for sample in best[:2]]
        frames = results.load(made)
        start = 2 + 3 * number
        assert sorted(set(frames.seeds["replicate"])) == [start, start + 1, start + 2]


def test_a_damaged_run_beside_it_stops_no_confirmation_but_a_damaged_confirmation_does(
    user_module: UserModule,
) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    sweep = run(asked)
    for name in ("other", "one-confirm"):
        (Path("runs") / name).mkdir()
        (Path("runs") / name / "record.jsonl").write_bytes(b"no record\n")
        if name == "other":
            assert lifecycle.confirmation(asked, sweep, 1, 2).name == "one-confirm"
    with pytest.raises(RunError, match="one-confirm"):
        lifecycle.confirmation(asked, sweep, 1, 2)


def test_a_point_that_was_drawn_twice_is_confirmed_once_and_goes_by_its_first_number(
    user_module: UserModule,
) -> None:
    draws = GRID.replace("{grid: [0.01, 0.1]}", "{choice: [0.01, 0.1]}")
    run(request(f"{user_module(TASK)}:Task", f"{draws}search: {{algorithm: random, samples: 5}}\n"))
    asked, _, sweep = again("one")
    first = {c.sample: c.duplicate_of or c.sample for c in sweep.history.configurations.values()}
    assert len(set(first.values())) == 2
    confirmed = lifecycle.confirmation(asked, sweep, top=3, seeds=2).space
    assert {point["lr"] for point in confirmed.configs} == {0.01, 0.1}
    assert len(confirmed.configs) == 2
    assert {sample: find_sample(sweep, str(sample)) for sample in first} == first


def test_without_a_finished_configuration_there_is_nothing_to_confirm(user_module: UserModule) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    sweep = Sweep.create(asked.space, runs_dir="runs", name="one")
    with pytest.raises(RunError, match="finished"):
        lifecycle.confirmation(asked, sweep, 5, 20)


PATIENT = """
task: pneumonia
space: {lr: {grid: [1e-5, 1e-4]}}
fixed: {gamma: 0.4}
epochs: 9
stop: {scheduler: asha, grace_period: 2, reduction_factor: 3, patience: 3, min_delta: 0.1}
"""


@pytest.mark.parametrize(("epochs", "patience"), [(9, 3), (5, None)])
def test_the_points_alone_are_trained_to_their_end_or_until_patience_ends_them(
    epochs: int, patience: int | None
) -> None:
    space = spaces.parse(PATIENT, name="my")
    narrow = lifecycle.narrowed(space, [{"lr": 1e-4, "gamma": 0.4}], epochs)
    assert narrow.planned() == [{"lr": 1e-4, "gamma": 0.4}]
    assert (narrow.stop.scheduler, narrow.stop.patience) == ("none", patience)
    assert narrow.epochs == epochs
    assert narrow.stop.min_delta == (0.1 if patience else 0)
