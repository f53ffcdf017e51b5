"""The figures of a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES, GRID, XRAYS, full
from records import Ended, record

from tune_app.report import figures
from tune_app.report.figures import NotDrawn, draw, search_figures
from tune_app.report.figures.search_figures import MOST_POINTS, top_share


@pytest.mark.parametrize(("count", "share"), [(4, 0.5), (9, 0.5), (20, 0.25), (50, 0.1), (1000, 0.1)])
def test_importance_is_of_five_configurations_at_least(count: int, share: float) -> None:
    assert top_share(count) == share


def test_the_history_goes_by_the_numbers_of_the_samples(tmp_path: Path) -> None:
    ended = {i: one for i, one in full(6).items() if i in (2, 4, 6)}
    [picture] = figures.draw(record(tmp_path, GRID, ended, XRAYS), "history")
    axes = picture.figure.axes[0]
    points, best = axes.lines
    assert np.asarray(points.get_xdata()).tolist() == [2, 4, 6]
    assert np.asarray(best.get_xdata()).tolist() == [2, 4, 6]


def test_very_many_points_are_thinned_and_the_record_setters_stay(tmp_path: Path) -> None:
    text = (
        "task: pneumonia\nspace: {lr: {loguniform: [1e-7, 1e-3]}, gamma: {uniform: [0.1, 0.9]}}\n"
        f"search: {{algorithm: random, samples: {MOST_POINTS + 500}}}\nepochs: 1\nseeds: 1\n"
    )
    rng = np.random.default_rng(0)
    values = rng.random(MOST_POINTS + 500)
    ended = {i: Ended({"val_accuracy": [[float(value)]]}) for i, value in enumerate(values, 1)}
    frames = record(tmp_path, text, ended, XRAYS)
    [picture] = figures.draw(frames, "history")
    assert f"of {MOST_POINTS + 500:,} finished configurations, evenly spaced" in picture.caption
    points, line = picture.figure.axes[0].lines
    drawn = np.asarray(points.get_xdata())
    assert MOST_POINTS <= len(drawn) < MOST_POINTS + 30
    best = np.flatnonzero(np.maximum.accumulate(values) == values) + 1
    assert set(best) <= set(drawn)
    assert np.asarray(line.get_ydata()).max() == pytest.approx(100 * values.max())


def test_the_history_marks_those_that_were_stopped(tmp_path: Path) -> None:
    frames = CASES["stopped"](tmp_path)
    [picture] = draw(frames, "history")
    axes = picture.figure.axes[0]
    crosses = next(line for line in axes.lines if line.get_marker() == "x")
    stopped = frames.trials[frames.trials["status"] == "stopped"]
    assert np.asarray(crosses.get_xdata()).tolist() == stopped["sample"].tolist()
    assert np.asarray(crosses.get_ydata()) == pytest.approx(100 * stopped["val_accuracy_mean"])
    low, high = axes.get_xlim()
    assert low < stopped["sample"].min() <= stopped["sample"].max() < high
    assert "stopped" not in picture.caption.partition("Not shown")[2]


def test_values_that_optuna_cannot_take_cost_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> dict[str, float]:
        raise OverflowError("too far")

    monkeypatch.setattr(search_figures, "get_param_importances", fails)
    with pytest.raises(NotDrawn, match=r"\(OverflowError: too far\)"):
        figures.draw(CASES["finished"](tmp_path), "importance")
