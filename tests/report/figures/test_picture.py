"""Pictures of every kind: what they show, and their limits."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd
from edge_cases import CASES
from legibility import faults
from make_run import make
from records import constant

from tune_app.report import figures
from tune_app.report.figures import NotDrawn, draw, style
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_pictures_say_which_data_they_show(finished: Frames) -> None:
    [picture] = figures.draw(finished, "curves")
    [said] = [text for text in picture.figure.texts if "run · data röntgen $5" in text.get_text()]
    assert "sha256 c0ffeec0ffee" in said.get_text()
    assert not said.get_parse_math(), "a dollar sign is no formula"


def _check(frames: Frames, *left_out: str) -> None:
    for kind in figures.KINDS.keys() - set(left_out):
        with suppress(NotDrawn):
            for picture in figures.draw(frames, kind):
                assert faults(picture.figure) == [], picture.name


@pytest.mark.parametrize(("count", "parameters", "first"), [(2, 6, 3), (9, 2, 0), (40, 5, 2), (300, 1, 0)])
def test_texts_stay_inside_and_apart(tmp_path: Path, count: int, parameters: int, first: int) -> None:
    _check(crowd(tmp_path, count, parameters, first), "panels")


@pytest.mark.slow
@pytest.mark.parametrize("parameters", range(1, 7))
@pytest.mark.parametrize("count", [2, 9, 40, 300])
def test_texts_of_every_number_stay_inside_and_apart(tmp_path: Path, count: int, parameters: int) -> None:
    _check(crowd(tmp_path, count, parameters, parameters - 1))


@pytest.mark.parametrize("case", ["finished", "function_task", "awkward", "enormous", "conditional"])
def test_texts_of_awkward_runs_stay_inside_and_apart(tmp_path: Path, case: str) -> None:
    _check(CASES[case](tmp_path))


def test_texts_that_leave_or_overlap_are_found() -> None:
    with style.styled():
        figure, axes = style.single(3, 2)
        for at, text in ((0.5, "one"), (0.52, "other"), (1.6, "out")):
            axes.text(at, 0.5, text)
        style.finish(figure, "source")
    found = faults(figure)
    assert "'one' lies over 'other'" in found
    assert "'out' leaves the figure" in found


@pytest.mark.parametrize("kind", ["slice", "parallel", "history"])
def test_what_has_not_finished_is_drawn_too(tmp_path: Path, kind: str) -> None:
    [picture] = draw(_mixed(tmp_path), kind)
    drawn = [line for axes in picture.figure.axes for line in axes.get_lines()]
    words = {text.get_text() for legend in picture.figure.legends for text in legend.get_texts()}
    if kind == "parallel":
        assert len(drawn) == 8
        assert "not finished" in words
    else:
        marks = [line for line in drawn if line.get_label() in ("stopped early", "failed", "diverged")]
        assert sum(np.size(line.get_xdata()) for line in marks) % 4 == 0  # in each panel
        assert {line.get_color() for line in marks} == {style.GREY}
        assert {"finished", "stopped early", "failed", "diverged"} <= words
    assert "have not finished" in picture.caption


@pytest.mark.parametrize("kind", ["importance", "intervals"])
def test_the_unfinished_are_counted_where_they_are_left_out(tmp_path: Path, kind: str) -> None:
    [picture] = draw(_mixed(tmp_path), kind)
    for count in ("2 stopped", "1 failed", "1 diverged"):
        assert count in picture.caption


def _mixed(folder: Path) -> Frames:
    text = "task: mine:train\nspace: {x: {grid: [1, 2, 3, 4]}, y: {grid: [1, 2]}}\nepochs: 2\nseeds: 3\n"
    ends = ["finished"] * 4 + ["stopped", "stopped", "failed", "diverged"]
    ended = {
        sample: constant(val=[0.1 * sample, 0.11 * sample, 0.09 * sample], end=end, epochs=2)
        for sample, end in enumerate(ends, 1)
    }
    return make(folder, text, ended)
