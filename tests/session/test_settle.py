"""``tune-app settle``: seeds go to those that may be the best, and any interruption changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from records import constant, record
from small_task import (
    GRID,
    TASK,
    again,
    assert_alike,
    cut_before,
    end_after,
    events,
    extend,
    request,
    rows,
    run,
)

from benchmarks.recorder import Recorder
from tune_app import results
from tune_app import space as spaces
from tune_app.errors import RunError, TrialsFailed
from tune_app.session import lifecycle
from tune_app.session import settle as settling
from tune_app.session import undo as undoing
from tune_app.sweep import Sweep
from tune_app.sweep.events import Batch

UserModule = Callable[[str], str]

#: Each configuration has its mean and its spread over seeds; the first two are hard to tell apart.
NOISY = """
    import random

    def task(config, context):
        value = config["middle"] + 0.03 * random.Random(f"{config['middle']} {context.seed}").gauss(0, 1)
        for _ in range(context.epochs):
            yield {"val_accuracy": value}
"""
LEVELS = "space: {middle: {grid: [0.74, 0.82, 0.80, 0.55]}}\nepochs: 2\nseeds: 3\n"


def settle(name: str = "one", **asked: Any) -> Sweep:
    request, loaded, sweep = again(name)
    batch, _ = settling.begin(sweep, **asked)
    return lifecycle.settle(request, loaded, sweep, batch).train()


def resume(name: str = "one") -> Sweep:
    return lifecycle.resume(*again(name)).train()


def counts(sweep: Sweep) -> Mapping[int, int]:
    frame = results.load(sweep).trials
    return dict(zip(frame["sample"], frame["n"], strict=True))


def batches(sweep: Sweep) -> list[tuple[list[int], list[int]]]:
    return [(batch.samples, batch.seeds) for each in sweep.history.settlings for batch in each.batches]


@pytest.fixture
def noisy(user_module: UserModule) -> str:
    """A run of ``NOISY``, finished."""
    task = f"{user_module(NOISY)}:task"
    run(request(task, LEVELS))
    return task


@pytest.mark.usefixtures("noisy")
def test_only_members_gain_seeds_until_one_is_left() -> None:
    sweep = settle(budget=400)
    [done] = sweep.history.settlings
    assert done.ended is not None
    assert done.ended.why == "one"
    assert sweep.complete_and_trained()
    own, gained = counts(sweep), {1: 0, 2: 0, 3: 0, 4: 0}
    for samples, seeds in batches(sweep):
        for sample, more in zip(samples, seeds, strict=True):
            gained[sample] += more
    assert own == {sample: 3 + more for sample, more in gained.items()}
    assert own[2] == max(own.values()) > own[1]
    assert done.spent == sum(gained.values()) <= 400
    assert set(results.load(sweep).trials["status"]) == {"finished"}
    assert results.ranked(results.load(sweep))["sample"].iloc[0] == 2


@pytest.mark.usefixtures("noisy")
def test_members_of_a_batch_are_among_those_of_the_one_before() -> None:
    found = batches(settle(budget=400))
    assert len(found) > 1
    for (before, _), (after, _) in itertools.pairwise(found):
        assert set(after) <= set(before)


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize("budget", [4, 7, 21])
def test_no_more_than_the_budget_is_spent(budget: int) -> None:
    sweep = settle(budget=budget)
    [done] = sweep.history.settlings
    assert done.spent <= budget
    assert done.ended is not None
    assert done.ended.why in ("one", "budget")


@pytest.mark.usefixtures("noisy")
def test_it_ends_once_all_that_are_left_are_within_the_margin() -> None:
    sweep = settle(budget=1000, within=8.0)
    [done] = sweep.history.settlings
    assert done.ended is not None
    assert done.ended.why == "within"
    assert {batch.within for batch in done.batches} == {0.08}


@pytest.mark.parametrize("replicates", ["looped", "stacked"])
@pytest.mark.parametrize("after", [1, 4, 5, 9, 13])
def test_one_that_was_interrupted_ends_as_an_undisturbed_one(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, after: int, replicates: str
) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 0.05]") + f"replicates: {replicates}\n"
    for name in ("whole", "halves"):
        run(request(task, text, name))
    whole = settle("whole", budget=30)
    assert len(batches(whole)) > 1
    with monkeypatch.context() as patch:
        end_after(patch, after)
        with pytest.raises(TrialsFailed, match=r"(?s)a test.*tune-app resume halves"):
            settle("halves", budget=30)
    assert batches(resume("halves")) == batches(whole)
    assert_alike("whole", "halves")


@pytest.mark.parametrize("kind", ["batch", "settled"])
def test_a_crash_between_the_last_epoch_and_the_look_changes_nothing(noisy: str, kind: str) -> None:
    run(request(noisy, LEVELS, "halves"))
    whole = settle(budget=60)
    settle("halves", budget=60)
    cut_before("halves", kind, 2 if kind == "batch" else 1)
    sweep = Sweep.open("runs/halves")
    assert sweep.history.settling
    assert not sweep.complete_and_trained()
    assert batches(resume("halves")) == batches(whole)
    assert_alike("one", "halves")


@pytest.mark.usefixtures("noisy")
def test_results_have_no_seed_of_a_batch_before_all_of_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    before, best = rows("one"), results.ranked(results.load(Sweep.open("runs/one")))["sample"].tolist()
    with monkeypatch.context() as patch:
        end_after(patch, 3)
        with pytest.raises(TrialsFailed):
            settle(budget=60)
    frames = results.load(Sweep.open("runs/one"))
    assert len(events("one", "finished")) > 4, "some of the batch is trained"
    assert rows("one").equals(before)
    assert results.ranked(frames)["sample"].tolist() == best
    undoing.undo(Sweep.open("runs/one"))
    sweep = Sweep.open("runs/one")
    assert sweep.complete_and_trained()
    assert set(counts(sweep).values()) == {3}
    assert rows("one").equals(before)


@pytest.mark.usefixtures("noisy")
def test_seeds_that_are_added_later_are_counted_from_each_ones_own() -> None:
    own = counts(settle(budget=12))
    assert len(set(own.values())) > 1, "not all have gained seeds"
    sweep = extend("one", seeds="+2")
    assert counts(sweep) == {sample: n + 2 for sample, n in own.items()}


def test_a_stacked_and_a_looped_settling_end_alike(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("[0.01, 0.1]", "[0.0001, 0.001, 0.1]")
    for name in ("looped", "stacked"):
        run(request(task, f"{text}replicates: {name}\n", name))
        settle(name, budget=30)
    looped, stacked = (Sweep.open(f"runs/{name}") for name in ("looped", "stacked"))
    assert batches(looped) == batches(stacked)
    assert counts(looped) == counts(stacked)


@pytest.mark.usefixtures("noisy")
def test_new_seeds_of_a_confirmation_lie_above_all_that_were_ever_used() -> None:
    sweep = settle(budget=30)
    request, _, _ = again("one")
    used = max(replicate for attempt in sweep.history.attempts.values() for replicate in attempt.replicates)
    assert lifecycle.confirmation(request, sweep, 1, 2).space.first_replicate == used + 1


def test_a_settled_configuration_is_trained_again_with_all_its_seeds(user_module: UserModule) -> None:
    run(request(f"{user_module(TASK)}:Task", GRID))
    sweep = settle(budget=10)
    request_, loaded, sweep = again("one")
    event, differences = lifecycle.rerun(request_, loaded, sweep, 1)
    assert differences == []
    assert event.compared % counts(sweep)[1] == 0
    assert counts(sweep)[1] > 2


def test_a_run_that_early_stopping_has_thinned_trains_its_new_seeds_to_the_end(
    user_module: UserModule,
) -> None:
    text = GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 0.05, 0.001]")
    asha = "stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}\n"
    run(request(f"{user_module(TASK)}:Task", text + asha))
    before = len(events("one", "decision"))
    sweep = settle(budget=12)
    assert len(events("one", "decision")) == before
    frames = results.load(sweep)
    members = frames.trials[frames.trials["n"] > 2]
    assert set(members["epochs"]) == {4}
    assert set(frames.finished["sample"]) >= set(members["sample"])


# ---------------------------------------------------------------- what cannot be settled

TWO = "task: m:T\nspace: {lr: {grid: [1, 2]}}\nepochs: 30\nseeds: 3\n"
CLOSE = {1: (0.80, 0.82, 0.81), 2: (0.81, 0.80, 0.82)}


def recorded(
    folder: Path, values: Mapping[int, tuple[float, ...]], text: str = TWO, end: str = "finished"
) -> Sweep:
    ended = {sample: constant(val=found, end=end) for sample, found in values.items()}
    return record(folder, text, ended).sweep


def test_a_run_that_has_not_finished_cannot_be_settled(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"1 trial.*tune-app resume run"):
        settling.begin(recorded(tmp_path, {1: CLOSE[1]}))


def test_a_run_of_one_seed_cannot_be_settled(tmp_path: Path) -> None:
    one = {1: (0.8,), 2: (0.9,)}
    with pytest.raises(RunError, match=r"1 seed.*tune-app extend run --seeds 5"):
        settling.begin(recorded(tmp_path, one, TWO.replace("seeds: 3", "seeds: 1")))


def test_where_none_has_finished_there_is_none_to_settle_on(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no configuration has finished"):
        settling.begin(recorded(tmp_path, CLOSE, end="failed"))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({1: CLOSE[1]}, "only one configuration"),
        ({1: (0.80, 0.82, 0.81), 2: (0.2, 0.21, 0.22)}, "is the best"),
        ({1: (0.803, 0.803, 0.803), 2: (0.801, 0.801, 0.801)}, "every seed gives the same value"),
    ],
)
def test_what_needs_no_seeds_is_said(tmp_path: Path, values: dict[int, tuple[float, ...]], why: str) -> None:
    text = TWO if len(values) == 2 else TWO.replace("[1, 2]", "[1]")
    with pytest.raises(settling.NothingToSettle, match=why):
        settling.begin(recorded(tmp_path, values, text))


def test_a_budget_whose_first_look_leaves_one_is_no_budget_that_is_too_small(tmp_path: Path) -> None:
    """The verdict counts the look before a seed was added; a plan of few looks is less strict than it."""
    sweep = recorded(tmp_path, {1: (0.80, 0.82), 2: (0.791, 0.809)}, TWO.replace("seeds: 3", "seeds: 2"))
    with sweep.writing():
        sweep.extend(spaces.extend(sweep.space, seeds="+1"), "", from_start=False)
        recorder = Recorder.of(sweep)
        for sample, value in ((1, 0.81), (2, 0.801)):
            trial = recorder.start(sample, 2)
            for _ in range(sweep.space.epochs):
                recorder.epoch(trial, [value])
            recorder.finish(trial)
    with pytest.raises(settling.NothingToSettle, match="one configuration is left"):
        settling.begin(sweep, budget=8)


def test_a_budget_of_less_than_a_seed_for_each_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="write 2 or more"):
        settling.begin(recorded(tmp_path, CLOSE), budget=1)


def test_a_settling_goes_on_only_as_it_began(tmp_path: Path) -> None:
    sweep = recorded(tmp_path, CLOSE)
    batch, _ = settling.begin(sweep, within=0.5, budget=20)
    assert batch == Batch(
        samples=[1, 2], seeds=[5, 5], among=[1, 2], before=3, after=8, looks=3, budget=20, within=0.005
    )
    with sweep.writing():
        sweep.note(batch)
    settling.require_same(sweep, None, None)
    settling.require_same(sweep, 0.5, 20)
    for within, budget in ((0.4, None), (None, 30)):
        with pytest.raises(RunError, match="being settled with another"):
            settling.require_same(sweep, within, budget)
