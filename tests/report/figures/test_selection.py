"""Which configurations a figure shows, and their labels."""

from __future__ import annotations

from pathlib import Path

from edge_cases import GRID, XRAYS, curves, full
from facts import lacking
from hypothesis import given
from hypothesis import strategies as st
from records import Ended, record

from tune_app.report.figures import selection


def test_the_best_are_chosen_then_those_that_got_furthest(tmp_path: Path) -> None:
    ended = full(2)
    ended[3] = Ended(curves(3, 3, 1), end="failed")
    ended[4] = Ended(curves(4, 3, 3), end="failed")
    frames = record(tmp_path, GRID, ended, XRAYS)
    best = frames.trials.set_index("sample")["val_accuracy_mean"].loc[[1, 2]].sort_values(ascending=False)
    assert selection.choose(frames, frames.trials).samples[:4] == [*best.index, 4, 3]
    chosen = selection.choose(frames, frames.trials, 3)
    assert chosen.samples == [*best.index, 4]
    assert lacking(chosen.note, ["3 of 6", "validation accuracy"]) == []
    assert lacking(selection.choose(frames, frames.trials, 2).note, ["2 of 6", "validation accuracy"]) == []


@given(st.lists(st.text("abc_", min_size=1, max_size=64), unique=True, max_size=8), st.integers(9, 30))
def test_short_names_stay_apart(names: list[str], most: int) -> None:
    found = selection.shortened(names, most)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert all(len(text) <= most for text in found.values())


def test_labels_are_the_numbers_where_values_would_be_too_long(tmp_path: Path) -> None:
    values = ", ".join(f"parameter_number_{i}: {{grid: [0.123, 0.456]}}" for i in range(5))
    text = f"task: mine:train\nspace: {{{values}}}\nepochs: 1\nseeds: 1\n"
    frames = record(tmp_path, text, {})
    assert selection.labels(frames, [2, 1]) == {2: "sample 2", 1: "sample 1"}
