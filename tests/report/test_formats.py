"""Settings, values, headings and states in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from edge_cases import CASES

from tune_app.report import formats
from tune_app.results import Frames
from tune_app.space import Value
from tune_app.stats.units import MetricUnits


def test_many_values_become_a_range() -> None:
    assert formats.setting("lr", [10.0**-k for k in range(1, 10)]) == "1e-9 to 0.1 (9 values)"
    assert formats.setting("lr", [3e-6, 3e-5]) == "3e-6, 3e-5"


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("loss", ["bce", "ce"], "BCE, CE"),
        ("loss", ["bce", "BCE"], "bce, BCE"),
        ("train_images", [1800], "1,800"),
        ("image_size", [64], "64 × 64"),
        ("act", [None, "relu", True], "null, relu, true"),
    ],
)
def test_a_setting_in_words(name: str, values: list[Value], expected: str) -> None:
    assert formats.setting(name, values) == expected


@pytest.mark.parametrize(
    ("cell", "expected"), [(np.float64(4.0), 4), (np.int64(4), 4), (0.5, 0.5), ("a", "a"), (pd.NA, None)]
)
def test_a_cell_is_a_plain_value(cell: object, expected: Value) -> None:
    found = formats.plain(cell)
    assert (type(found), found) == (type(expected), expected)
    assert formats.plain(np.nan) is None
    with pytest.raises(TypeError, match="not a parameter's value"):
        formats.plain({1})


def test_metrics_and_figures_of_the_paper() -> None:
    units = MetricUnits()
    assert formats.metric(units, "val_accuracy") == "validation accuracy, %"
    assert formats.metric(units, "speed") == "speed"
    assert formats.quantity("test_auc") == "test AUC"
    assert formats.published("val_accuracy", 0.8225) == "82.25"
    assert formats.published("val_loss", 0.37) == "0.37"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("finished", "finished"),
        ("failed", "failed at epoch 3"),
        ("diverged", "diverged in 2 runs, at epoch 3"),
    ],
)
def test_a_status_in_words(status: str, expected: str) -> None:
    assert formats.status(pd.Series({"status": status, "epochs": 3, "n_diverged": 2})) == expected


def test_a_list_in_words() -> None:
    assert [formats.listed([*"abc"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return CASES["conditional"](tmp_path)


def test_a_configuration_has_only_the_parameters_that_exist_in_it(frames: Frames) -> None:
    without = next(sample for sample in frames.trials["sample"] if "momentum" not in frames.config(sample))
    assert formats.value(frames, without, "momentum") == "–"
    assert formats.value(frames, without, "optimizer") == "adam"


def test_a_metric_is_the_mean_of_its_replicates(frames: Frames) -> None:
    found = frames.seeds[frames.seeds["sample"] == 1]["val_accuracy"].tolist()
    assert formats.measure(frames, 1, "val_accuracy").startswith(f"{100 * sum(found) / 2:.1f} ")


def test_words_are_aligned_to_the_left_and_numbers_to_the_right(frames: Frames) -> None:
    assert [formats.align(frames, name) for name in ("optimizer", "momentum", "depth")] == ["l", "r", "l"]
