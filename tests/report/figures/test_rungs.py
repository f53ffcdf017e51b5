"""The figure of early stopping."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES

from tune_app.report.figures.rungs import rungs_info


def test_rungs_count_who_was_trained(tmp_path: Path) -> None:
    info = rungs_info(CASES["stopped"](tmp_path))
    assert info.counts == [6, 4, 4, 3]
    assert info.rungs == [1, 3]
    assert sorted(info.samples[:3]) == [4, 5, 6]
    assert info.samples[3:] == [3, 1, 2]
