"""The table of rungs at which configurations wait."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES

from tune_app.report.render import csv, markdown
from tune_app.report.rung_table import rung_table


def test_each_configuration_has_its_distance_to_the_last_one_promoted(tmp_path: Path) -> None:
    made = rung_table(CASES["waiting"](tmp_path))
    assert made
    assert made.header == ["sample", "lr", "step_size", "epoch 1", "epoch 2", "status"]
    rows = {row[0]: row[3:] for row in made.rows}
    assert list(rows) == ["4", "2", "3", "1", "5", "6", "7", "8"], "those that went furthest come first"
    assert rows["4"] == ["+0.200", "0", "interrupted at epoch 2"]
    assert rows["2"] == ["+0.100", "−0.100", "paused at epoch 2"]
    assert rows["1"] == ["0", "–", "interrupted at epoch 1"]
    assert rows["5"] == ["−0.00100", "–", "stopped at epoch 1"]
    lines = csv(made).splitlines()
    assert lines[0] == "sample,rung,outcome,value,distance,data,data_sha256"
    assert lines[4].startswith("4,1,promoted,0.3,0.2,")
    assert len(lines) == 1 + 8 + 3
    assert "by validation loss" in markdown(made)


def test_there_is_none_where_nobody_waits(tmp_path: Path) -> None:
    assert rung_table(CASES["stopped"](tmp_path)) is None
