"""The table that compares the two losses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from make_run import PHANTOM, make, write_tables
from records import constant

LOSSES = """
task: pneumonia
space:
  gamma: {grid: [0.9, 0.4]}
  loss: {grid: [ce, bce]}
fixed: {lr: 3e-6, step_size: 4}
epochs: 3
seeds: 2
"""


def losses(n: float) -> dict[str, list[float]]:
    return {"train_accuracy": [0.94, n], "train_loss": [0.2, 0.3], "val_loss": [0.37, 0.37]}


def test_the_loss_table_takes_the_pair_that_is_as_the_paper(tmp_path: Path) -> None:
    outcomes = {
        3: constant(test=[0.8, 0.82], val=[0.87, 0.89], epochs=3, metrics=losses(0.92)),
        4: constant(test=[0.83, 0.83], val=[0.9, 0.9], epochs=3, metrics=losses(0.94)),
    }
    write_tables(make(tmp_path, LOSSES, outcomes), tmp_path)
    text = (tmp_path / "loss_table.md").read_text(encoding="utf-8")
    lines = text[text.index("| quantity") :].splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in [lines[0], *lines[2:]]] == [
        ["quantity", "BCE measured (n=2)", "BCE published", "CE measured (n=2)", "CE published"],
        ["training accuracy, %", "94.0 (94.0, 94.0)", "94", "93.0 (94.0, 92.0)", "92"],
        ["training loss", "0.250 (0.200, 0.300)", "0.37", "0.250 (0.200, 0.300)", "0.37"],
        ["validation accuracy, %", "90.0 (90.0, 90.0)", "90", "88.0 (87.0, 89.0)", "87"],
        ["validation loss", "0.370 (0.370, 0.370)", "0.37", "0.370 (0.370, 0.370)", "0.35"],
        ["test accuracy, %", "83.0 (83.0, 83.0)", "83", "81.0 (80.0, 82.0)", "82.25"],
    ]
    frame = pd.read_csv(tmp_path / "loss_table.csv").set_index("quantity")
    assert frame.loc["test_accuracy", "ce_mean"] == pytest.approx(0.81)
    assert frame.loc["test_accuracy", "ce_published"] == 0.8225
    assert frame.loc["val_loss", "bce_published"] == 0.37


def test_the_loss_table_of_phantoms_has_no_published_columns(tmp_path: Path) -> None:
    write_tables(make(tmp_path, LOSSES, {}, data=PHANTOM), tmp_path)
    text = (tmp_path / "loss_table.md").read_text(encoding="utf-8")
    assert "published" not in text.split("| quantity")[1]
    assert "BCE: planned, not measured" in text
    assert pd.read_csv(tmp_path / "loss_table.csv")["ce_published"].isna().all()


def test_losses_are_compared_only_where_all_else_is_equal(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{loss: bce, lr: 3e-6}, {loss: ce, lr: 1e-6}]\n"
    names = [path.name for path in write_tables(make(tmp_path, text, {}), tmp_path)]
    assert "loss_table.md" not in names
