"""The figure of early stopping."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES
from matplotlib.text import Text

from tune_app.report.figures.rungs import rungs, rungs_info


def test_rungs_count_who_was_trained(tmp_path: Path) -> None:
    info = rungs_info(CASES["stopped"](tmp_path))
    assert info.counts == [6, 4, 4, 3]
    assert info.rungs == [1, 3]
    assert sorted(info.samples[:3]) == [4, 5, 6]
    assert info.samples[3:] == [3, 1, 2]


def test_where_configurations_wait_the_nearest_to_the_last_one_promoted_come_first(tmp_path: Path) -> None:
    frames = CASES["waiting"](tmp_path)
    info = rungs_info(frames)
    assert info.counts == [8, 3, 0, 0]
    assert info.rungs == [1, 2]
    assert info.samples == [4, 2, 3, 1, 5, 6, 7, 8]
    [picture] = rungs(frames)
    written = {each.get_text() for each in picture.figure.findobj(Text)}
    assert {"−0.100", "−0.150", "−0.00100", "−4000", "epoch 1", "epoch 2"} <= written
