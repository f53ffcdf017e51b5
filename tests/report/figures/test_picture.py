"""Pictures of every kind: what they show, and their limits."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from edge_cases import CASES
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


def test_nothing_leaves_a_picture(finished: Frames) -> None:
    """Every text lies within what is saved."""
    for kind in figures.KINDS:
        try:
            pictures = figures.draw(finished, kind)
        except NotDrawn:
            continue
        for picture in pictures:
            width, height = (100 * side for side in style.saved_size(picture.figure))
            foot = height - 100 * picture.figure.get_size_inches()[1]
            with style.styled():
                box = picture.figure.get_tightbbox().transformed(mpl.transforms.Affine2D().scale(100))
            assert box.x0 >= -2, picture.name
            assert box.x1 <= width + 2, picture.name
            assert box.y0 >= -foot - 2, picture.name
            assert box.y1 <= height - foot + 2, picture.name


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
