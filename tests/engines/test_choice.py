"""Which engine an address gets, without starting Ray."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app import stopping
from tune_app.driver.driver import Driver
from tune_app.engines.choice import modules_of_a_trial, open_engine
from tune_app.errors import ResourceError
from tune_app.space import Resources
from tune_app.sweep import Sweep


def test_inline_trains_one_trial_at_a_time_in_this_process(tmp_path: Path) -> None:
    space = spaces.parse("task: a:b\nspace: {x: {grid: [1, 2]}}", name="my")
    resources = Resources(max_concurrent=4)
    with (
        open_engine("inline", resources, None, trials=2) as engine,
        Sweep.create(space, runs_dir=tmp_path).writing() as sweep,
    ):
        assert engine.plan.concurrent == 1
        assert engine.measure_sharing is None
        Recorder.of(sweep).train(1, [0.5])
        driver = Driver(sweep, stopping.make_stopper(space))
        assert engine.line(driver) == "in this process, 1 trial at a time"


@pytest.mark.parametrize("address", ["inline", "local"])
def test_only_a_cluster_can_get_more_gpus(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_app.engines.choice.gpus_possible", lambda: False)
    with (
        pytest.raises(ResourceError, match=rf"--wait-for-gpus 2 --address {address}: .*cluster"),
        open_engine(address, Resources(), None, trials=1, wait_for_gpus=2),
    ):
        pytest.fail("an engine was opened")


def test_a_function_task_loads_no_torch_ahead() -> None:
    assert ("torch" in modules_of_a_trial(None)) == ("torch" in sys.modules)
    assert "tune_app.training.trial" in modules_of_a_trial(None)
