"""The state of a sweep at one moment, and its rate."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from recording import GRID, Clock, drawn, look, recorded

from tune_app.progress.snapshot import Pace, Row, SnapshotTaker
from tune_app.sweep.events import Batch, Planned


def test_snapshot_of_every_state(tmp_path: Path) -> None:
    text = GRID.replace("[4, 8]", "[4, 8, 2, 1]")
    with recorded(tmp_path, text) as (sweep, recorder):
        recorder.train(1, [0.9, 0.94])
        stopped = recorder.start(2)
        recorder.epoch(stopped, [0.5, 0.6])
        recorder.stop(stopped)
        diverged = recorder.start(3)
        recorder.epoch(diverged, [0.99, None], device="gpu 0")
        recorder.diverge(diverged, 1)
        recorder.finish(diverged)
        recorder.fail(recorder.start(4), "ValueError: no")
        running = recorder.start(5)
        recorder.epoch(running, [0.95, 0.95], duration_s=0.25)
        recorder.epoch(running, [0.97, 0.97], duration_s=0.25)
        recorder.epoch(recorder.start(6, 1), [0.3])
        snapshot = look(sweep)
    assert snapshot.states == [
        *["finished", "stopped", "diverged", "failed"],
        *["running", "running", "waiting", "waiting"],
    ]
    rows = {row.sample: row for row in snapshot.rows}
    assert rows[1] == Row(
        1, rows[1].config, "finished", 4, (0.9, 0.94), 4.0, "cpu", 8, ended=True, ranked=True
    )
    assert [row.done for row in snapshot.rows] == [8, 8, 8, 8, 4, 1, 0, 0]
    assert (snapshot.done, snapshot.wanted, snapshot.trained) == (37, 64, 8 + 2 + 2 + 4 + 1)
    assert rows[3].values == (0.99,)
    assert rows[3].device == "gpu 0"
    assert rows[4].reason == "ValueError: no"
    assert (rows[5].epoch, rows[5].values, rows[5].seconds) == (2, (0.97, 0.97), 1.0)
    assert rows[6].epoch == 0, "one of two replicates has begun: the mean is a half"
    assert rows[7].epoch is None
    assert snapshot.varying == ["lr", "step_size"]
    assert snapshot.newest == [4, 3, 2, 1]
    assert snapshot.best == rows[1], "the running one is better, but has not finished"


def test_before_any_has_finished_the_best_running_one_is_the_best(tmp_path: Path) -> None:
    text = GRID.replace("val_accuracy, mode: max", "val_loss, mode: min")
    with recorded(tmp_path, text) as (sweep, recorder):
        recorder.epoch(recorder.start(1), [0.5, 0.5])
        recorder.epoch(recorder.start(2), [0.4, 0.4])
        best = look(sweep).best
    assert best is not None
    assert best.sample == 2


def test_best_epoch_is_shown_where_the_space_evaluates_it(tmp_path: Path) -> None:
    with recorded(tmp_path, GRID + "evaluate: best\n") as (sweep, recorder):
        trial = recorder.start(1)
        for values in ([0.5, 0.8], [0.9, 0.7], [0.6, 0.6]):
            recorder.epoch(trial, list(values))
        assert look(sweep).rows[0].values == (0.9, 0.8)


def test_replicates_dealt_out_over_trials_are_one_row(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        first, second = recorder.start(1, 0), recorder.start(1, 1)
        for _ in range(4):
            recorder.epoch(first, [0.9], device="gpu 0")
        recorder.epoch(second, [0.5], device="gpu 1")
        recorder.finish(first)
        row = look(sweep).rows[0]
        assert (row.state, row.epoch, row.done, row.values) == ("running", 2, 5, (0.9, 0.5))
        assert row.device == "gpu 0+gpu 1"
        for _ in range(3):
            recorder.epoch(second, [0.7])
        recorder.finish(second)
        assert look(sweep).rows[0].state == "finished"


def test_what_a_crash_cut_off_waits_again_and_reads_interrupted_at_the_end(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        recorder.epoch(recorder.start(1), [0.5, 0.5])
        recorder.interrupt()
        recorder.epoch(recorder.start(2), [0.5, 0.5])
        assert [row.state for row in look(sweep).rows[:2]] == ["waiting", "running"]
        assert look(sweep).done == 2
        assert [row.state for row in look(sweep, live=False).rows[:2]] == ["interrupted", "interrupted"]


def test_a_duplicate_shows_the_outcome_of_its_original_and_asks_for_no_work(tmp_path: Path) -> None:
    text = GRID.replace("step_size: {grid: [4, 8]}", "gamma: {choice: [0.4]}").replace(
        "fixed: {gamma: 0.4}", ""
    )
    with recorded(tmp_path, text + "search: {algorithm: random, samples: 2}\n") as (sweep, recorder):
        duplicates = {each.sample: each.duplicate_of for each in sweep.history.configurations.values()}
        assert duplicates == {1: None, 2: None, 3: 1, 4: 2}
        before = look(sweep)
        assert (before.wanted, before.states) == (2 * 2 * 4, ["waiting"] * 4)
        recorder.train(1, [0.9, 0.9])
        after = look(sweep)
    assert after.states == ["finished", "waiting", "finished", "waiting"]
    assert after.done == 8
    assert drawn(after)[3].split() == [
        "3e-6",
        "0.4",
        "4/4",
        "90.0%",
        "(90.0,",
        "90.0)",
        "finished",
        "like",
        "1",
        "cpu",
    ]


def test_optunas_configurations_are_expected_before_they_are_known(tmp_path: Path) -> None:
    text = """
task: pneumonia
space: {lr: {loguniform: [1e-7, 1e-3]}, gamma: {uniform: [0.1, 0.9]}}
search: {algorithm: optuna, samples: 20}
epochs: 4
seeds: 2
"""
    with recorded(tmp_path, text) as (sweep, recorder):
        snapshot = look(sweep)
        assert (snapshot.rows, snapshot.unplanned, snapshot.wanted) == ([], 20, 160)
        assert snapshot.varying == ["lr", "gamma"]
        assert "  ... and 20 more: 20 waiting" in drawn(snapshot)
        sweep.note(Planned(sample=1, fingerprint="f", config={"lr": 1e-5, "gamma": 0.5}, duplicate_of=None))
        recorder.epoch(recorder.start(1), [0.5, 0.6])
        snapshot = look(sweep)
    assert (len(snapshot.rows), snapshot.unplanned, snapshot.wanted) == (1, 19, 160)


def test_it_can_be_looked_at_while_it_is_written(tmp_path: Path) -> None:
    text = (
        GRID.replace("{grid: [3e-6, 3e-5]}", "{uniform: [0, 1]}")
        + "search: {algorithm: optuna, samples: 300}"
    )
    faults: list[Exception] = []
    over = threading.Event()
    with recorded(tmp_path, text.replace(", step_size: {grid: [4, 8]}", "")) as (sweep, recorder):
        taker = SnapshotTaker(sweep)

        def watch() -> None:
            while not over.is_set():
                try:
                    drawn(taker.take())
                except Exception as error:  # noqa: BLE001 - collected for the assertion
                    faults.append(error)

        thread = threading.Thread(target=watch)
        thread.start()
        for sample in range(1, 301):
            sweep.note(
                Planned(sample=sample, fingerprint=f"{sample}", config={"lr": sample}, duplicate_of=None)
            )
            recorder.train(sample, [0.5, 0.5])
        over.set()
        thread.join()
        assert faults == []
        assert taker.take().done == 300 * 8


def test_pace_is_that_of_the_last_ten_seconds() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.per_second() is None
    pace.note(1000)  # trained in an earlier session
    assert pace.per_second() is None
    for second in range(1, 61):
        clock.now += 1
        pace.note(1000 + 10 * min(second, 30) + 100 * max(0, second - 30))
    assert pace.per_second() == pytest.approx(100)


def test_pace_of_epochs_that_take_a_minute_each_does_not_fall_to_nothing() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(4):
        pace.note(int((clock.now - 100) // 60) * 5)
        clock.now += 60
    for _ in range(55):
        clock.now += 1
        pace.note(15)
    assert pace.per_second() == pytest.approx(5 / 60, rel=0.7)


@pytest.mark.parametrize(("window", "best", "value"), [(1, 2, 0.75), (2, 1, 0.8)])
def test_the_best_so_far_is_the_best_over_the_epochs_that_choose(
    tmp_path: Path, window: int, best: int, value: float
) -> None:
    with recorded(tmp_path, f"{GRID}choose: {{window: {window}}}\n") as (sweep, recorder):
        for curve in ([0.9, 0.7], [0.6, 0.75]):
            trial = recorder.start(1 if curve[0] == 0.9 else 2)
            for each in curve:
                recorder.epoch(trial, [each, each])
        snapshot = look(sweep)
    assert snapshot.best is not None
    assert snapshot.best.sample == best
    assert snapshot.best.mean == pytest.approx(value)
    told = [line for line in drawn(snapshot) if "best so far" in line]
    assert ("last 2 epochs" in told[0]) == (window == 2)


def test_a_batch_of_seeds_is_shown_beside_what_is_best_by_those_that_count(tmp_path: Path) -> None:
    with recorded(tmp_path, GRID) as (sweep, recorder):
        for sample, value in ((1, 0.9), (2, 0.8)):
            recorder.train(sample, [value, value])
        taker = SnapshotTaker(sweep)
        assert taker.take().settling == ""
        asked = {"before": 2, "after": 4, "looks": 3, "budget": 8}
        sweep.note(Batch(samples=[1], seeds=[2], among=[1, 2], **asked))
        snapshot = taker.take()
        first = snapshot.rows[0]
        assert (first.state, first.values, first.ended, first.ranked) == ("waiting", (0.9, 0.9), False, True)
        assert snapshot.best == first
        assert "batch 1: 1 configuration left, 2 of 8 seeds" in snapshot.settling
        assert snapshot.wanted - snapshot.done >= 2 * 4
        recorder.epoch(recorder.start(1, 2, 3), [0.1, 0.1])
        assert taker.take().rows[0].values == (0.9, 0.9)
        assert any("1 of 8 seeds" not in line and "batch 1" in line for line in drawn(taker.take(), 140))
