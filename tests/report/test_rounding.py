"""One mean has one text, wherever it is printed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from make_run import PHANTOM, make
from records import constant
from rich.console import Console

from tune_app.progress import drawing, snapshot
from tune_app.report import TableOptions, compare, export, narrative, tables, terminal
from tune_app.report.figures import heatmap, intervals
from tune_app.results import json_views, verdict
from tune_app.stats.units import MetricUnits
from tune_app.sweep import Sweep, run_summaries

Accuracies = Sequence[Sequence[float]]

TEXT = """
task: pneumonia
space: {lr: {grid: [1e-5, 1e-4]}, step_size: {grid: [4, 8]}}
epochs: 1
seeds: %d
"""


def live(sweep: Sweep) -> str:
    console = Console(file=io.StringIO(), record=True, width=200, height=40)
    shown = snapshot.SnapshotTaker(sweep).take(live=False)
    console.print(drawing.live(shown, drawing.Timing(None, 0.0), 200, 40))
    return console.export_text()


@st.composite
def shares(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]]]:
    """Right answers of four configurations as shares of 200 validation and 400 test images."""
    seeds = draw(st.integers(1, 6))

    def of(images: int) -> list[list[float]]:
        right = st.lists(st.integers(0, images), min_size=seeds, max_size=seeds)
        return [[number / images for number in draw(right)] for _ in range(4)]

    return of(200), of(400)


@settings(max_examples=3, phases=[Phase.generate], deadline=None)
@given(shares())
def test_every_place_writes_a_mean_alike(
    made: tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]],
) -> None:
    val, test = made
    outcomes = {i + 1: constant(val=val[i], test=test[i], epochs=1) for i in range(4)}
    with tempfile.TemporaryDirectory() as folder:
        one, other = (
            make(Path(folder), TEXT % len(val[0]), outcomes, PHANTOM, name=name) for name in ("a", "b")
        )
        texts = [MetricUnits().measure("val_accuracy", values) for values in val]
        tested = [MetricUnits().measure("test_accuracy", values) for values in test]
        with_unit = [MetricUnits().measure("val_accuracy", values, unit=True) for values in val]
        judged = verdict.judge(one)
        best = judged.winner or 0
        shown = terminal.table(one)
        running = live(one.sweep)
        table = next(each for each in tables(one, judged) if each.name == "results")
        cells = {int(row[0]): row for row in table.rows}
        map_texts = {text.replace("\n", " ") for row in heatmap.heatmap_infos(one)[0].texts for text in row}
        measured = intervals.intervals_info(one).measured
        for sample in range(1, 5):
            assert with_unit[sample - 1] in shown
            assert with_unit[sample - 1] in running
            assert (cells[sample][4], cells[sample][5]) == (texts[sample - 1], tested[sample - 1])
            assert texts[sample - 1] in map_texts
            assert measured[sample]["val_accuracy"].text == with_unit[sample - 1]
        for text in (
            terminal.summary(one),
            narrative.verdict(one, judged)[0],
            terminal.best(one, json_views.best(one)),
            run_summaries.listing([json_views.summary(one)], Path(folder)),
        ):
            assert with_unit[best - 1] in text
        assert compare([one, other]).rows[0][2:4] == [texts[best - 1], tested[best - 1]]
        assert texts[best - 1] in export(one, "latex", TableOptions(top=1)).decode().replace("$\\pm$", "±")
