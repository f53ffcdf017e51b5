"""Run, resume, extend and retry: in whatever sessions a sweep was trained, its results are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_task import (
    COSINE,
    FAILING,
    GRID,
    LEVELS,
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

from tune_app import space as spaces
from tune_app.errors import RunError, TrialsFailed
from tune_app.session import lifecycle
from tune_app.status import Status
from tune_app.sweep import Sweep, find_sample

UserModule = Callable[[str], str]


@pytest.mark.parametrize("evaluate", ["last", "best"])
@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_a_resumed_run_equals_an_undisturbed_one(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, after: int, evaluate: str
) -> None:
    task = f"{user_module(TASK)}:Task"
    text = f"{GRID}evaluate: {evaluate}\n"
    run(request(task, text, "whole"))
    with monkeypatch.context() as patch:
        end_after(patch, after)
        with pytest.raises(TrialsFailed, match=r"(?s)a test.*tune-app resume halves"):
            run(request(task, text, "halves"))
    lifecycle.resume(*again("halves")).train()
    assert_alike("whole", "halves")
    trained = [(e["trial"].split(".")[0], e["epoch"]) for e in events("halves", "epoch")]
    assert len(trained) == len(set(trained)) == 2 * 4, "no epoch before the checkpoint is trained again"


PATIENT = GRID.replace("epochs: 4\nseeds: 2", "epochs: 9\nseeds: 3") + (
    "stop: {scheduler: none, patience: 2, min_delta: 0.005}\nmetric: {name: val_loss, mode: min}\n"
    "choose: {window: 2}\n"
)


@pytest.mark.parametrize("replicates", ["looped", "stacked"])
def test_replicates_that_converge_at_different_epochs_do_so_after_any_kill_and_extension(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, replicates: str
) -> None:
    task = f"{user_module(TASK.replace('Dropout(0.2)', 'ReLU()'))}:Task"
    text = f"{PATIENT}replicates: {replicates}\n"
    run(request(task, text, "whole"))
    ends = rows("whole")["epochs"]
    assert len(set(ends)) > 2, "they end at different epochs"
    assert set(rows("whole")["status"]) == {"finished"}
    assert sum(len(event["replicates"]) for event in events("whole", "ended")) == sum(ends < 9)
    for after in range(1, len(events("whole", "epoch")), 3):
        name = f"after{after}"
        with monkeypatch.context() as patch:
            end_after(patch, after)
            with pytest.raises(TrialsFailed):
                run(request(task, text, name))
        lifecycle.resume(*again(name)).train()
        assert_alike("whole", name)
    run(request(task, text.replace("epochs: 9", "epochs: 5").replace("seeds: 3", "seeds: 2"), "less"))
    extend("less", epochs="9")
    before = len(events("less", "epoch"))
    assert extend("less", seeds="3").lacking() == []
    extended, whole = (rows(name).drop(columns="test_looks") for name in ("less", "whole"))
    exact = replicates == "looped"  # the size of a stack decides the last digits
    pd.testing.assert_frame_equal(extended, whole, check_exact=exact, check_like=True)
    assert {e["trial"].split(".")[1] for e in events("less", "epoch")[before:]} == {"3"}
    again_, differences = lifecycle.rerun(*again("whole"), sample=1)
    assert (differences, again_.compared > 0) == ([], True)


BREAKING = """
    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            yield {"val_accuracy": epoch + config["lr"], "test_accuracy": context.epochs}
            if epoch == 2 + context.replicate:
                return
"""


def test_a_function_that_ended_by_itself_lacks_nothing_until_more_epochs_are_wanted(
    user_module: UserModule,
) -> None:
    task = f"{user_module(BREAKING)}:task"
    run(request(task, GRID))
    assert rows("one")["epochs"].tolist() == [2, 3, 2, 3]
    trained = len(events("one", "epoch"))
    lifecycle.resume(*again("one")).train()
    extend("one", seeds="3")
    assert rows("one")["epochs"].tolist() == [2, 3, 4, 2, 3, 4]
    assert len(events("one", "epoch")) == trained + 2 * 4
    extend("one", epochs="6")
    assert rows("one")["test_accuracy"].tolist() == [6] * 6
    assert Sweep.open("runs/one").lacking() == []


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_crash_just_before_an_end_trains_no_epoch_too_many(user_module: UserModule, keep: str) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("keep: last", f"keep: {keep}")
    run(request(task, text, "whole"))
    run(request(task, text))
    cut_before("one", "finished")
    lifecycle.resume(*again("one")).train()
    assert_alike("one", "whole")


@pytest.mark.parametrize("keep", ["last", "best", "none"])
def test_an_extended_grid_equals_one_asked_for_whole(user_module: UserModule, keep: str) -> None:
    task, grid = f"{user_module(TASK)}:Task", f"{GRID}choose: {{window: 3}}\n"
    run(request(task, grid.replace("keep: last", f"keep: {keep}")))
    extend("one", seeds="+1")
    extend("one", add=["lr=0.03"])
    extend("one", epochs="8")
    wide = grid.replace("[0.01, 0.1]", "[0.01, 0.1, 0.03]").replace("epochs: 4", "epochs: 8")
    run(request(task, wide.replace("seeds: 2", "seeds: 3"), "whole"))
    whole = rows("whole").drop(columns="test_looks")
    pd.testing.assert_frame_equal(rows("one").drop(columns="test_looks"), whole, check_exact=True)
    assert set(rows("one")["test_looks"]) == {2}
    assert set(rows("whole")["test_looks"]) == {1}
    trained = sum(len(e["durations_s"]) for e in events("one", "epoch"))
    fresh = 3 * 3 * 8
    assert trained == (fresh if keep == "last" else fresh + 3 * 3 * 4)


def test_a_schedule_that_reads_epochs_starts_again(user_module: UserModule) -> None:
    task = f"{user_module(COSINE)}:Task"
    run(request(task))
    extend("one", epochs="+2")
    run(request(task, GRID.replace("epochs: 4", "epochs: 6"), "whole"))
    looks = "test_looks"
    pd.testing.assert_frame_equal(rows("one").drop(columns=looks), rows("whole").drop(columns=looks))
    assert [e["epoch"] for e in events("one", "epoch")].count(1) == 4


def test_what_was_stopped_stays_so_and_new_seeds_train_to_its_end(user_module: UserModule) -> None:
    name = user_module(
        """
        def task(config, context):
            for epoch in range(1, context.epochs + 1):
                value = config["level"] * epoch + context.replicate
                yield {"val_accuracy": value, "test_accuracy": 0.5}
        """
    )
    text = (
        "space: {level: {grid: [1, 2, 3, 4, 5, 6]}}\nepochs: 9\nseeds: 2\n"
        "stop: {scheduler: asha, grace_period: 2, reduction_factor: 2}\nseed: 1"
    )
    before = run(request(f"{name}:task", text))
    assert set(before.statuses()) == {"finished", "stopped"}
    decided = len(before.history.decisions)
    after = extend("one", seeds="+2")
    assert after.statuses() == before.statuses()
    assert len(after.history.decisions) == decided, "no new decisions"
    for configuration in after.history.configurations.values():
        ends = {configuration.epochs(r)[-1][0] for r in range(4)}
        assert len(ends) == 1
        assert all(bool(a.test) == (a.end == "finished") for a in configuration.attempts)
    longer = extend("one", epochs="18")
    assert [s for s, was in zip(longer.statuses(), before.statuses(), strict=True) if was == "stopped"] == [
        "stopped"
    ] * before.statuses().count(Status.STOPPED)


def test_an_extension_survives_a_crash_between_record_and_space_file(user_module: UserModule) -> None:
    run(request(f"{user_module(TASK)}:Task"))
    old = Path("runs/one/space.yaml").read_text()
    extend("one", seeds="3")
    Path("runs/one/space.yaml").write_text(old)
    assert Sweep.open("runs/one").space.seeds == 3
    lifecycle.resume(*again("one")).train()
    assert spaces.load("runs/one/space.yaml").seeds == 3
    assert [(e["asked"], e["from_start"]) for e in events("one", "extended")] == [("{'seeds': '3'}", False)]


def test_an_extension_is_whole_after_a_crash_in_its_middle(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task))
    extend("one", add=["lr=0.03"])
    cut_before("one", "planned", 3)
    lifecycle.resume(*again("one")).train()
    run(request(task, GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 0.03]"), "whole"))
    assert_alike("one", "whole")


def test_more_samples_keep_the_first(user_module: UserModule) -> None:
    text = "space: {lr: {uniform: [0.01, 0.1]}}\nepochs: 1\nseeds: 1\nsearch: {algorithm: random, samples: 2}"
    task = f"{user_module(TASK)}:Task"
    run(request(task, text))
    extend("one", samples="+2")
    run(request(task, text.replace("samples: 2", "samples: 4"), "whole"))
    assert_alike("one", "whole")
    assert len(events("one", "started")) == 4


def test_what_failed_is_tried_again_once_it_is_fixed(user_module: UserModule) -> None:
    with pytest.raises(TrialsFailed, match=r"(?s)2 of 3.*ValueError: cannot"):
        run(request(f"{user_module(FAILING)}:task", LEVELS))
    asked, loaded, sweep = again("one")
    assert lifecycle.failed(sweep, ()) == [2, 3]
    assert lifecycle.failed(sweep, ("3.1",)) == [3]
    with pytest.raises(RunError, match=r"\b1\b.*finished.*\b2, 3"):
        lifecycle.failed(sweep, ("1",))
    with pytest.raises(TrialsFailed, match="2 of 3"):  # not fixed: its retries begin anew, and fail
        lifecycle.retry(asked, loaded, sweep, [2]).train()
    assert len(events("one", "failed")) == 6
    Path("fixed").touch()
    asked, loaded, sweep = again("one")
    done = lifecycle.retry(asked, loaded, sweep, lifecycle.failed(sweep, ())).train()
    assert done.statuses() == ["finished"] * 3
    with pytest.raises(RunError, match="failed"):
        lifecycle.failed(done, ())


def test_trials_are_found_by_what_a_user_calls_them(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task"))
    assert [find_sample(sweep, each) for each in ("1", "2", "2.1")] == [1, 2, 2]
    for wrong in ("3", "0", "x", "", "-1", "1.2", "²"):
        with pytest.raises(RunError, match=f'one: .*"{wrong}"'):
            find_sample(sweep, wrong)
