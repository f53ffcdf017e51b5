"""Means of the curves over seeds, and their bands."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_cases import CASES, GRID, XRAYS, curves
from make_run import PHANTOM, make
from records import Ended, constant, record

from tune_app.report.figures import draw
from tune_app.report.figures.curves import curves_info, families
from tune_app.report.figures.intervals import intervals_info
from tune_app.results import Frames
from tune_app.stats.intervals import mean_interval


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


TEXT = "task: mine:train\nspace: {x: {grid: [0.1, 1, 2]}}\nepochs: 3\nseeds: %d\n"


def test_curves_are_means_with_t_intervals_in_per_cent(finished: Frames) -> None:
    info = curves_info(finished)
    assert [family.name for family in info.families] == ["accuracy", "loss"]
    own = finished.curves[(finished.curves["sample"] == 5) & (finished.curves["epoch"] == 3)]
    found = info.of(5)[info.of(5)["epoch"] == 3].iloc[0]
    for column, factor in (("val_accuracy", 100), ("train_loss", 1)):
        interval = mean_interval(own[column].tolist())
        assert found[column] == pytest.approx(factor * (interval.mean or 0))
        assert found[f"{column}_half"] == pytest.approx(factor * (interval.half_width or 0))
    assert found["n"] == 3
    assert (
        list(info.labels)
        == finished.trials.sort_values("val_accuracy_mean", ascending=False)["sample"].tolist()
    )


def test_one_seed_has_means_without_intervals(tmp_path: Path) -> None:
    means = curves_info(CASES["one_seed"](tmp_path)).means
    assert means["val_accuracy"].notna().all()
    assert means["val_accuracy_half"].isna().all()


def test_the_metric_that_ranks_comes_first_among_the_panels(tmp_path: Path) -> None:
    text = GRID + "metric: {name: val_auc, mode: max}\n"
    found = {
        name: [[0.5] * 3] * 2 for name in ("train_loss", "val_loss", "val_auc", "val_speed", "train_accuracy")
    }
    shown = families(record(tmp_path, text, {1: Ended(found)}, XRAYS))
    assert [(family.name, list(family.columns)) for family in shown] == [
        ("auc", ["val"]),
        ("accuracy", ["train"]),
        ("loss", ["train", "val"]),
    ]
    assert [family.label for family in shown] == ["AUC, %", "accuracy, %", "loss"]


def test_a_share_in_per_cent_is_drawn_as_it_is_recorded(tmp_path: Path) -> None:
    values = {1: [66.7, 66.8, 66.9], 2: [0.5, 0.6, 0.7], 3: [70.0, 71.0, 72.0]}
    ended = {i: constant(val=v, epochs=3, metrics={"train_accuracy": [0.1] * 3}) for i, v in values.items()}
    frames = make(tmp_path, TEXT % 3, ended, PHANTOM)
    info = curves_info(frames)
    assert info.families[0].label == "accuracy"
    assert info.of(1)["val_accuracy"].iloc[-1] == pytest.approx(66.8)
    assert info.of(1)["train_accuracy"].iloc[-1] == pytest.approx(0.1)  # both on one axis, so in one unit
    assert intervals_info(frames).measured[1]["val_accuracy"].mean == pytest.approx(66.8)
    [picture] = draw(frames, "intervals")
    assert picture.figure.axes[0].get_xlabel() == "validation accuracy"


def test_of_two_seeds_a_band_goes_from_one_to_the_other_and_there_is_no_interval(tmp_path: Path) -> None:
    frames = make(tmp_path, TEXT % 2, {i: constant(val=[0.5, 0.6], epochs=3) for i in (1, 2, 3)}, PHANTOM)
    row = curves_info(frames).of(1).iloc[-1]
    assert row["val_accuracy"] == pytest.approx(55)
    assert row["val_accuracy_half"] == pytest.approx(5)
    assert intervals_info(frames).measured[1]["val_accuracy"].half_width is None


def test_the_panels_of_a_row_show_all_of_both_splits(tmp_path: Path) -> None:
    metrics = {
        **curves(1, 3, 4),
        "train_accuracy": [[0.1] * 3] * 4,
        "val_accuracy": [[0.8] * 3, [0.9] * 3] * 2,
    }
    text = (TEXT % 3).replace("epochs: 3", "epochs: 4")
    frames = record(tmp_path, text, {i: Ended(metrics) for i in (1, 2, 3)})
    axes = draw(frames, "curves")[0].figure.axes[:2]
    for each in axes:
        low, high = each.get_ylim()
        assert low < 10
        assert high > 90
