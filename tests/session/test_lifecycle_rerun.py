"""Reruns, and how they compare with the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_task import (
    FAILING,
    LEVELS,
    TASK,
    again,
    events,
    request,
    run,
)

from tune_app.errors import RunError, TrialsFailed
from tune_app.session import lifecycle
from tune_app.tasks import task_folder

UserModule = Callable[[str], str]


def test_a_rerun_comes_out_the_same_or_says_what_differs(user_module: UserModule) -> None:
    name = user_module(TASK)
    run(request(f"{name}:Task"))
    same, differences = lifecycle.rerun(*again("one"), 2)
    assert (differences, same.device) == ([], "cpu")
    per_epoch, tests = 7, 5
    assert same.compared == 2 * (4 * per_epoch + tests)
    source = Path(f"{name}.py").read_text()
    task_folder._folders.clear()  # as a new process begins
    Path(f"{name}.py").write_text(source.replace("Dropout(0.2)", "Dropout(0.3)"))
    other, differences = lifecycle.rerun(*again("one"), 2)
    assert 0 < len(differences) <= other.compared
    replicate, metric, then, now = differences[0]
    assert (replicate, metric) == (0, "train_loss of epoch 1") or metric.endswith("of epoch 1")
    assert then != now
    assert [(e["sample"], e["differing"] > 0) for e in events("one", "rerun")] == [(2, False), (2, True)]
    assert [path.name for path in Path("runs").iterdir()] == ["one"], "the second training leaves no run"


def test_only_what_has_ended_is_trained_again(user_module: UserModule) -> None:
    with pytest.raises(TrialsFailed):
        run(request(f"{user_module(FAILING)}:task", LEVELS))
    with pytest.raises(RunError, match=r"\b2 is failed"):
        lifecycle.rerun(*again("one"), 2)
