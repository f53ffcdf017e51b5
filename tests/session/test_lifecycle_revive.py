"""``extend --revive``: what early stopping has paused or stopped is trained to the end after all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_task import TASK, again, end_after, events, request, rows, run

from tune_app import results
from tune_app import space as spaces
from tune_app.errors import RunError, TrialsFailed
from tune_app.report.figures.rungs import rungs_info
from tune_app.session import lifecycle
from tune_app.session import undo as undoing
from tune_app.status import Status
from tune_app.sweep import Sweep

UserModule = Callable[[str], str]

SPACE = (
    "space: {lr: {grid: [0.3, 0.1, 0.0001, 0.001, 0.01, 0.00001]}}\n"
    "epochs: 8\nseeds: 2\ncheckpoint_every: 0\n"
)
RULES = [
    "{scheduler: halving, grace_period: 2, reduction_factor: 2}",
    "{scheduler: asha, type: promotion, grace_period: 2, reduction_factor: 2}",
    "{scheduler: asha, grace_period: 1, reduction_factor: 2}",
    "{scheduler: median, grace_period: 2, min_samples_required: 1}",
]


def revive(name: str = "one", **more: str) -> Sweep:
    asked, loaded, sweep = again(name)
    wider = spaces.extend(sweep.space, **more) if more else sweep.space
    revived = lifecycle.revivable(sweep)
    assert list(lifecycle.extension_notes(sweep, wider, loaded, revived))
    return lifecycle.extend(asked, loaded, sweep, wider, "--revive", revival=revived).train()


def interrupted(monkeypatch: pytest.MonkeyPatch, reports: int) -> None:
    with monkeypatch.context() as patch:
        end_after(patch, reports)
        with pytest.raises(TrialsFailed):
            revive()


def assert_as_without_stopping(task: str, **more: str) -> None:
    whole = run(request(task, SPACE.replace("epochs: 8", f"epochs: {more.get('epochs', 8)}"), "whole"))
    assert set(whole.statuses()) == {"finished"}
    found, expected = (rows(name).drop(columns="test_looks") for name in ("one", "whole"))
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_like=True)


@pytest.mark.parametrize("keep", ["none", "last"])
@pytest.mark.parametrize("rule", RULES)
def test_what_was_stopped_ends_as_if_nothing_had_been(rule: str, keep: str, user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    before = run(request(task, f"{SPACE}keep: {keep}\nstop: {rule}\n"))
    stopped = before.statuses().count(Status.STOPPED)
    decided = len(before.history.decisions)
    assert stopped
    after = revive()
    assert set(after.statuses()) == {"finished"}
    assert len(after.history.decisions) == decided, "no rule sees them"
    kinds = [event["event"] for event in events("one", "extended", "started")]
    assert kinds[kinds.index("extended") + 1 :] == ["started"] * stopped
    if keep == "last":
        assert len(events("one", "epoch")) == 8 * 6
    assert rungs_info(results.load(after)).stopped == set()
    assert_as_without_stopping(task)
    with pytest.raises(RunError, match="none to revive"):
        revive()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reports", [1, 5])
def test_a_kill_loses_nothing(
    rule: str, reports: int, user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, f"{SPACE}keep: last\nstop: {rule}\n"))
    interrupted(monkeypatch, reports)
    assert "stopped" not in Sweep.open("runs/one").statuses()
    lifecycle.resume(*again("one")).train()
    assert_as_without_stopping(task)


def test_more_epochs_at_once(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, f"{SPACE}keep: last\nstop: {RULES[0]}\n"))
    after = revive(epochs="10")
    assert [c.epochs(1)[-1][0] for c in after.history.configurations.values()] == [10] * 6
    assert_as_without_stopping(task, epochs="10")


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_trained_can_be_undone(
    rule: str, user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"{user_module(TASK)}:Task"
    before = run(request(task, f"{SPACE}keep: last\nstop: {rule}\n"))
    stopped = [n for n, each in enumerate(before.statuses(), 1) if each == "stopped"]
    interrupted(monkeypatch, 2)
    undoing.undo(Sweep.open("runs/one"))
    after = Sweep.open("runs/one")
    still = [n for n, each in enumerate(after.statuses(), 1) if each == "stopped"]
    assert len(still) == len(stopped) - 1, "one of them had trained"
    assert set(still) < set(stopped)
    lifecycle.resume(*again("one")).train()
    after = Sweep.open("runs/one")
    assert (after.outstanding(), after.statuses().count(Status.STOPPED)) == (0, len(still))
    revive()
    assert_as_without_stopping(task)


def test_a_sweep_that_was_interrupted_while_some_waited(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"{user_module(TASK)}:Task"
    asked = request(task, f"{SPACE}keep: none\nstop: {RULES[0]}\n")
    with monkeypatch.context() as patch:
        end_after(patch, 5)
        with pytest.raises(TrialsFailed):
            run(asked)
    before = Sweep.open(Path("runs/one"))
    assert "paused" in before.statuses()
    after = revive()
    assert set(after.statuses()) <= {"finished", "stopped"}
    for number, was in enumerate(before.statuses(), 1):
        if was == "paused":
            assert after.history.configurations[number].epochs(0)[-1][0] == 8
