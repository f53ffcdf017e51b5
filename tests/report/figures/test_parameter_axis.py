"""The labels of a parameter's axis in Optuna's figures."""

from __future__ import annotations

from pathlib import Path

from edge_cases import CASES
from matplotlib.axes import Axes

from tune_app.report import figures


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
