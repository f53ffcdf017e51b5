"""The heat map of a grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES

from tune_app.report.figures import NotDrawn
from tune_app.report.figures.heatmap import heatmap_infos
from tune_app.results import Frames


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


def test_a_heat_map_holds_each_cells_metric(finished: Frames) -> None:
    [info] = heatmap_infos(finished)
    assert (info.row_name, info.rows) == ("lr", [3e-6, 3e-5])
    assert (info.column_name, info.columns) == ("step_size", [2, 4, 8])
    for _, trial in finished.trials.iterrows():
        row, column = info.rows.index(trial["lr"]), info.columns.index(trial["step_size"])
        assert info.values[row, column] == pytest.approx(100 * trial["val_accuracy_mean"])
    assert not info.several


def test_a_cell_without_a_result_says_how_it_stands(tmp_path: Path) -> None:
    [info] = heatmap_infos(CASES["stopped"](tmp_path))
    assert info.texts[0] == ["stopped\nat epoch 1", "stopped\nat epoch 1", "stopped\nat epoch 3"]
    assert np.isnan(info.values[0]).all()


def test_a_cell_of_several_configurations_shows_the_best(tmp_path: Path) -> None:
    infos = heatmap_infos(CASES["function_task"](tmp_path))
    assert len(infos) == 3
    assert all(info.several for info in infos)
    frames = CASES["function_task"](tmp_path / "again")
    names = [infos[0].row_name, infos[0].column_name]
    rows = frames.trials.to_dict("records")
    for row, a in enumerate(infos[0].rows):
        for column, b in enumerate(infos[0].columns):
            values = [each["val_loss_mean"] for each in rows if (each[names[0]], each[names[1]]) == (a, b)]
            assert infos[0].values[row, column] == pytest.approx(min(values))


def test_random_draws_are_no_grid(tmp_path: Path) -> None:
    with pytest.raises(NotDrawn, match="two parameters"):
        heatmap_infos(CASES["forty"](tmp_path))
