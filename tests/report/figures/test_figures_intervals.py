"""The figure of intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES

from tune_app.report.figures import draw
from tune_app.report.figures.intervals import intervals_info
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_intervals_hold_the_seeds_and_the_ties(finished: Frames) -> None:
    info = intervals_info(finished)
    assert info.metrics == ["val_accuracy", "test_accuracy"]
    assert len(info.measured[1]["val_accuracy"].seeds) == 3
    assert info.measured[1]["val_accuracy"].mean == pytest.approx(
        np.mean(info.measured[1]["val_accuracy"].seeds)
    )
    assert set(info.letters["val_accuracy"]) == {1, 2, 3, 4, 5, 6}
    assert all(info.letters["val_accuracy"].values())


def test_where_all_have_finished_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "Not shown" not in draw(CASES["finished"](tmp_path), "intervals")[0].caption
