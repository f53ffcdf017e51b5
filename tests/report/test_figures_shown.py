"""What a figure leaves out it counts, and what it shows has the tables' units and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES, curves
from make_run import PHANTOM, make
from records import Ended, constant, record

from tune_app.report.figures import draw
from tune_app.report.figures.curves import curves_info
from tune_app.report.figures.intervals import intervals_info

TEXT = "task: mine:train\nspace: {x: {grid: [0.1, 1, 2]}}\nepochs: 3\nseeds: %d\n"


@pytest.mark.parametrize("kind", ["slice", "parallel", "importance", "intervals"])
def test_the_unfinished_are_counted_where_they_are_left_out(tmp_path: Path, kind: str) -> None:
    text = "task: mine:train\nspace: {x: {grid: [1, 2, 3, 4]}, y: {grid: [1, 2]}}\nepochs: 2\nseeds: 3\n"
    ends = ["finished"] * 4 + ["stopped", "stopped", "failed", "diverged"]
    ended = {
        sample: constant(val=[0.1 * sample, 0.11 * sample, 0.09 * sample], end=end, epochs=2)
        for sample, end in enumerate(ends, 1)
    }
    [picture] = draw(make(tmp_path, text, ended), kind)
    for count in ("2 stopped", "1 failed", "1 diverged"):
        assert count in picture.caption


def test_the_history_marks_those_that_were_stopped(tmp_path: Path) -> None:
    frames = CASES["stopped"](tmp_path)
    [picture] = draw(frames, "history")
    axes = picture.figure.axes[0]
    crosses = next(line for line in axes.lines if line.get_marker() == "x")
    stopped = frames.trials[frames.trials["status"] == "stopped"]
    assert np.asarray(crosses.get_xdata()).tolist() == stopped["sample"].tolist()
    assert np.asarray(crosses.get_ydata()).tolist() == stopped["val_accuracy_mean"].tolist()
    low, high = axes.get_xlim()
    assert low < stopped["sample"].min() <= stopped["sample"].max() < high
    assert "stopped" not in picture.caption.partition("Not shown")[2]


def test_where_all_have_finished_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "Not shown" not in draw(CASES["finished"](tmp_path), "intervals")[0].caption


def test_a_share_in_per_cent_is_drawn_as_it_is_recorded(tmp_path: Path) -> None:
    values = {1: [66.7, 66.8, 66.9], 2: [0.5, 0.6, 0.7], 3: [70.0, 71.0, 72.0]}
    ended = {i: constant(val=v, epochs=3, metrics={"train_accuracy": [0.1] * 3}) for i, v in values.items()}
    frames = make(tmp_path, TEXT % 3, ended, PHANTOM)
    info = curves_info(frames)
    assert info.families[0].label == "accuracy"
    assert info.of(1)["val_accuracy"].iloc[-1] == pytest.approx(66.8)
    assert info.of(1)["train_accuracy"].iloc[-1] == pytest.approx(0.1)  # both on one axis, so in one unit
    assert intervals_info(frames).measured[1]["val_accuracy"].mean == pytest.approx(66.8)
    [picture] = draw(frames, "intervals")
    assert picture.figure.axes[0].get_xlabel() == "validation accuracy"


def test_of_two_seeds_a_band_goes_from_one_to_the_other_and_there_is_no_interval(tmp_path: Path) -> None:
    frames = make(tmp_path, TEXT % 2, {i: constant(val=[0.5, 0.6], epochs=3) for i in (1, 2, 3)}, PHANTOM)
    row = curves_info(frames).of(1).iloc[-1]
    assert row["val_accuracy"] == pytest.approx(55)
    assert row["val_accuracy_half"] == pytest.approx(5)
    assert intervals_info(frames).measured[1]["val_accuracy"].half_width is None


def test_the_panels_of_a_row_show_all_of_both_splits(tmp_path: Path) -> None:
    metrics = {
        **curves(1, 3, 4),
        "train_accuracy": [[0.1] * 3] * 4,
        "val_accuracy": [[0.8] * 3, [0.9] * 3] * 2,
    }
    text = (TEXT % 3).replace("epochs: 3", "epochs: 4")
    frames = record(tmp_path, text, {i: Ended(metrics) for i in (1, 2, 3)})
    axes = draw(frames, "curves")[0].figure.axes[:2]
    for each in axes:
        low, high = each.get_ylim()
        assert low < 10
        assert high > 90
