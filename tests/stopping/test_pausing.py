"""Rungs as the record of a sweep gives them back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.stopping import Rungs
from tune_app.sweep import Sweep, events

TEXT = """
task: pneumonia
space: {lr: {grid: [1, 2, 3]}}
epochs: 4
seeds: 2
stop: {scheduler: halving, reduction_factor: 3, by: {name: val_loss, mode: min}}
"""


@contextmanager
def recorded(folder: Path, more: Sequence[str] = ()) -> Iterator[tuple[Sweep, Recorder]]:
    with Sweep.create(spaces.parse(TEXT, more), runs_dir=folder).writing() as sweep:
        yield sweep, Recorder.of(sweep)


def arrive(sweep: Sweep, recorder: Recorder, sample: int, *losses: float | None) -> str:
    trial = recorder.start(sample, 0, 1)
    metrics: events.Values = {"val_accuracy": [0.5, 0.5], "val_loss": list(losses)}
    sweep.note(events.Epoch(trial=trial, epoch=1, metrics=metrics, durations_s=[0.0, 0.0]))
    return trial


def test_a_trial_waits_until_the_others_have_come(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        known = sweep.history.configurations
        rungs = Rungs(sweep.space, sweep.history)
        for sample, losses in ((1, (0.5, 0.7)), (2, (0.1, 0.3))):
            trial = arrive(sweep, recorder, sample, *losses)
            assert rungs.arrival(known[sample]) is None
            sweep.note(
                events.Paused(trial=trial, epoch=1, value=rungs.value(sweep.history.attempts[trial], 1))
            )
            rungs.take_in(known[sample])
            assert list(rungs.verdicts()) == []
        arrive(sweep, recorder, 3, 0.4, 0.4)
        last = rungs.arrival(known[3])
        assert last
        assert (last.goes_on, last.value, last.threshold) == (False, 0.4, 0.2)
        found = [(each.attempt.sample, each.goes_on) for each in rungs.verdicts()]
        assert found == [(2, True), (1, False)]
        # the record alone says the same
        again = [(each.attempt.sample, each.goes_on) for each in Rungs(sweep.space, sweep.history).verdicts()]
        assert again == found


@given(
    st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=3, max_size=3),
    st.integers(1, 5),
)
def test_a_window_ranks_by_the_mean_of_the_last_epochs(losses: list[list[float]], window: int) -> None:
    more = ["stop.grace_period=3", f"stop.window={window}"]
    with tempfile.TemporaryDirectory() as folder, recorded(Path(folder), more) as (sweep, recorder):
        for sample, curve in enumerate(losses, start=1):
            trial = recorder.start(sample)
            for loss in curve:
                recorder.epoch(trial, {"val_accuracy": [0.5], "val_loss": [loss, loss + 1]})
        rungs = Rungs(sweep.space, sweep.history)
        verdicts = [rungs.arrival(each) for each in sweep.history.configurations.values()]
        ranked_by = [sum(curve[-window:]) / len(curve[-window:]) + 0.5 for curve in losses]
        assert [each and each.value for each in verdicts] == pytest.approx(ranked_by)
        [best] = [each for each in verdicts if each and each.goes_on]
        assert best.value == pytest.approx(min(ranked_by))
        assert all(each and each.threshold == best.value for each in verdicts)


def test_a_value_that_is_missing_is_the_worst(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        rungs = Rungs(sweep.space, sweep.history)
        verdicts = []
        for sample, losses in ((1, (None, 0.1)), (2, (0.9, 0.9)), (3, (0.1, None))):
            arrive(sweep, recorder, sample, *losses)
            verdicts.append(rungs.arrival(sweep.history.configurations[sample]))
        assert [verdict and verdict.goes_on for verdict in verdicts] == [None, None, False]
        assert (verdicts[-1] and verdicts[-1].value, verdicts[-1] and verdicts[-1].threshold) == (None, 0.9)
