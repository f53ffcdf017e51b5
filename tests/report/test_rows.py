"""What the tables take from a row of the frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from edge_cases import CASES

from tune_app.report import rows
from tune_app.results import Frames


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return CASES["conditional"](tmp_path)


def test_a_point_has_only_the_parameters_that_exist_in_it(frames: Frames) -> None:
    configs = [config for _, config in rows.points(frames, frames.trials)]
    assert configs == [dict(each.config) for each in frames.sweep.history.configurations.values()]
    chosen = [row for _, row in frames.trials.iterrows()][2:4]
    assert rows.select(frames, chosen)["sample"].tolist() == [3, 4]
    without = next(row for row, config in rows.points(frames, frames.trials) if "momentum" not in config)
    assert rows.value(frames, without, "momentum") == "–"
    assert rows.value(frames, without, "optimizer") == "adam"


def test_a_metric_is_that_of_each_replicate(frames: Frames) -> None:
    row = frames.trials.iloc[0]
    found = rows.values(frames, row, "val_accuracy")
    assert found == frames.seeds[frames.seeds["sample"] == 1]["val_accuracy"].tolist()
    assert rows.measure(frames, row, "val_accuracy").startswith(f"{100 * sum(found) / 2:.1f} ")


def test_replicates_that_both_have_are_paired(frames: Frames) -> None:
    a, b = pd.Series([0.5, 0.6, 0.9], [0, 1, 2]), pd.Series([0.4, 0.45], [0, 1])
    found = rows.paired(frames.units, "val_accuracy", a, b)
    assert found is not None
    assert found.difference == pytest.approx(0.125)


def test_words_are_aligned_to_the_left_and_numbers_to_the_right(frames: Frames) -> None:
    assert [rows.align(frames, name) for name in ("optimizer", "momentum", "depth")] == ["l", "r", "l"]


def test_the_data_is_named(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    assert rows.identity(frames) == {
        "data": frames.sweep.data.source,
        "data_sha256": frames.sweep.data.fingerprint,
    }
    assert rows.provenance(frames) == {}
