"""The figure of intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES
from make_run import make
from records import constant

from tune_app import results
from tune_app.report.figures import draw, style
from tune_app.report.figures.intervals import intervals_info
from tune_app.results import Frames, verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_intervals_hold_the_seeds_and_the_best_set(finished: Frames) -> None:
    info = intervals_info(finished)
    row = info.measured[1]["val_accuracy"]
    assert len(row.seeds) == 3
    assert row.mean == pytest.approx(np.mean(row.seeds))
    assert info.best_set == verdict.judge(finished).best_set


def test_the_best_set_is_in_colour_and_the_rest_in_grey(tmp_path: Path) -> None:
    means = {1: [0.9, 0.91, 0.92], 2: [0.91, 0.92, 0.9], 3: [0.6, 0.61, 0.62], 4: [0.5, 0.52, 0.51]}
    text = "task: mine:train\nspace: {x: {grid: [1, 2, 3, 4]}}\nepochs: 2\nseeds: 3\n"
    frames = make(tmp_path, text, {sample: constant(val=val, epochs=2) for sample, val in means.items()})
    [picture] = draw(frames, "intervals")
    [axes] = picture.figure.axes
    dots = {int(np.asarray(line.get_ydata())[0]): line for line in axes.lines if line.get_marker() == "o"}
    assert {place: dot.get_color() for place, dot in dots.items()} == {
        **{0: style.BLUE, 1: style.BLUE, 2: style.GREY, 3: style.GREY}
    }
    assert dots[0].get_markerfacecolor() != dots[3].get_markerfacecolor(), "without colours, too"


def test_bars_stay_within_the_axes(tmp_path: Path) -> None:
    frames = results.sealed(CASES["stopped"](tmp_path))
    [picture] = draw(frames, "intervals")
    [axes] = picture.figure.axes
    low, high = axes.get_xlim()
    paths = [path for bar in axes.collections for path in bar.get_paths()]
    ends = np.concatenate([np.asarray(path.vertices)[:, 0] for path in paths])
    bars = [x for x in ends if x > 1]  # the rings' paths are about the origin
    assert low <= min(bars) <= max(bars) <= high


def test_where_all_have_finished_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "Not shown" not in draw(CASES["finished"](tmp_path), "intervals")[0].caption
