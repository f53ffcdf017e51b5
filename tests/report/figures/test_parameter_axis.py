"""The axis of a parameter."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES
from matplotlib.axes import Axes
from records import record

from tune_app.report import figures
from tune_app.report.figures.parameter_axis import parameter_axis


def ticks(folder: Path, case: str) -> dict[str, list[str]]:
    """The labels of each parameter's axis in the slices of a case."""
    [picture] = figures.draw(CASES[case](folder), "slice")
    axes: list[Axes] = [each for each in picture.figure.axes if each.get_xlabel()]
    return {
        each.get_xlabel(): [text.get_text() for text in each.xaxis.get_majorticklabels()] for each in axes
    }


def test_few_values_are_the_labels_themselves(tmp_path: Path) -> None:
    found = ticks(tmp_path, "finished")
    assert found["lr"] == ["3e-6", "3e-5"]
    assert found["step_size"] == ["2", "4", "8"]


def test_an_absent_value_has_a_dash_and_mixed_values_are_words(tmp_path: Path) -> None:
    found = ticks(tmp_path, "conditional")
    assert sorted(found["optimizer"]) == ["adam", "sgd"]
    assert sorted(found["depth"]) == ["1", "2", "deep"]
    assert "0.1" in found["momentum"]


def test_numbers_stand_by_their_size_and_an_absent_value_below_them(tmp_path: Path) -> None:
    frames = CASES["forty"](tmp_path)
    lr = parameter_axis(frames, "lr")
    assert lr.log
    assert sorted(lr.places.values()) == sorted(frames.trials["lr"])
    assert set(lr.ticks.values()) == {"1e-6", "1e-5", "1e-4"}
    assert 0 < lr.place({}) < min(lr.places.values())
    step = parameter_axis(frames, "step_size")
    assert not step.log
    assert step.place({"step_size": 3}) == 3.0
    grid = parameter_axis(CASES["finished"](tmp_path / "grid"), "lr")
    assert not grid.log, "a factor of ten may as well be linear"


def test_labels_that_would_overlap_are_left_out(tmp_path: Path) -> None:
    text = "task: mine:train\nspace: {x: {grid: [0, 0.01, 0.02, 1]}}\nepochs: 2\nseeds: 1\n"
    axis = parameter_axis(record(tmp_path, text, {}), "x")
    assert axis.ticks == {0.0: "0", 1.0: "1"}
    assert len(axis.places) == 4
