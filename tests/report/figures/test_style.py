"""How figures look."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from edge_cases import CASES

from tune_app.report import figures
from tune_app.report.figures import style
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_series_differ_in_more_than_their_colour() -> None:
    looks = style.looks(20)
    for rank, one in enumerate(looks):
        for other in looks[:rank]:
            assert (one["linestyle"], one["marker"]) != (other["linestyle"], other["marker"])


def test_the_colour_map_is_one_way_in_grey() -> None:
    colours = mpl.colormaps[style.COLOUR_MAP](np.linspace(0, 1, 64))[:, :3]
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()


def test_on_a_page_each_colour_of_the_style_has_a_dark_one(finished: Frames) -> None:
    [picture] = figures.draw(finished, "intervals")
    svg = style.rendered(picture.figure, "svg")
    page = style.themed(svg).decode()
    assert "prefers-color-scheme" not in svg.decode(), "a file is for papers too"
    for colour in (style.INK, style.PAPER, style.BLUE, style.GREY):
        assert f"fill: {colour}" in page.split("</style>", 1)[1]
        assert f'[style*="fill: {colour}"], [fill="{colour}"] {{fill: #' in page


def test_the_users_own_style_and_figures_are_left_alone(finished: Frames) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    mine = plt.figure()
    before = dict(mpl.rcParams)
    for kind in ("curves", "slice"):
        figures.draw(finished, kind)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)
