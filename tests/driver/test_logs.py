"""The logs of trials: what they printed, then the traceback of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.driver import logs
from tune_app.driver.logs import Logs
from tune_app.sweep import Sweep
from tune_app.sweep.events import Numerics
from tune_app.sweep.trial_spec import TrialSpec


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    space = spaces.parse("task: a:b\nspace: {x: {grid: [1, 2]}}\nseeds: 2\nepochs: 2", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        yield sweep


def output_of(sweep: Sweep) -> Path:
    """Where the next trial of sample 1 prints to."""
    spec = TrialSpec.example(sweep.space, range(2), Numerics())
    return logs.expected(sweep, spec)


def test_a_log_has_the_output_and_then_the_traceback(sweep: Sweep) -> None:
    kept, output = Logs(sweep.paths, pytest.fail), output_of(sweep)
    trial = Recorder.of(sweep).start(1)
    kept.open(trial, output)
    kept.add(trial, "printed\n")
    kept.add(trial, "")
    assert logs.find(sweep, sweep.history.attempts[trial]) == [output]
    assert kept.close(trial, "Traceback ...") == f"logs/{trial}.log"
    assert sweep.paths.log(trial).read_text() == "printed\n\nTraceback ..."
    assert logs.find(sweep, sweep.history.attempts[trial]) == [sweep.paths.log(trial)]


def test_a_trial_that_says_nothing_has_no_log(sweep: Sweep) -> None:
    kept = Logs(sweep.paths, pytest.fail)
    trial = Recorder.of(sweep).start(1)
    kept.open(trial, output_of(sweep))
    assert kept.close(trial) == ""
    assert logs.find(sweep, sweep.history.attempts[trial]) == []


def test_each_attempt_prints_to_a_file_of_its_own(sweep: Sweep) -> None:
    first = output_of(sweep)
    Recorder.of(sweep).start(1)
    assert output_of(sweep) != first


def test_a_disk_that_refuses_logs_is_told_once(sweep: Sweep) -> None:
    told: list[str] = []
    sweep.paths.logs.write_text("a file, where the folder of logs should be")
    kept = Logs(sweep.paths, told.append)
    for _ in range(2):
        trial = Recorder.of(sweep).start(1)
        kept.open(trial, output_of(sweep))
        kept.add(trial, "printed\n")
        assert kept.close(trial, "Traceback ...") == ""
    assert len(told) == 1
