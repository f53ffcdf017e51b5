"""The figure of two metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_cases import CASES, GRID, XRAYS, full
from records import record

from tune_app.report import figures
from tune_app.report.figures import NotDrawn, pareto
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_two_metrics_make_a_picture_with_its_front(finished: Frames) -> None:
    x, y = pareto.Objective("duration_s", "min"), pareto.Objective("val_accuracy", "max")
    points = pareto.pareto_points(finished, x, y)
    best = finished.trials.sort_values("val_accuracy_mean")["sample"].iloc[-1]
    assert points.set_index("sample")["on_front"][best]
    assert pareto.pareto(finished, x, y).title == "validation accuracy, % against training time, s"
    with pytest.raises(NotDrawn, match='no column "speed"'):
        pareto.pareto(finished, pareto.Objective("speed", "max"), y)


def test_a_space_of_several_metrics_has_a_picture_of_each_pair(tmp_path: Path) -> None:
    text = (
        GRID
        + "metric:\n"
        + "".join(
            f"  - {{name: {name}, mode: {mode}}}\n"
            for name, mode in (("val_accuracy", "max"), ("val_loss", "min"), ("train_loss", "min"))
        )
    )
    pictures = figures.draw(record(tmp_path, text, full(6), XRAYS), "pareto")
    assert [picture.name for picture in pictures] == ["pareto", "pareto_2", "pareto_3"]
    assert pictures[0].title == "validation loss against validation accuracy, %"
