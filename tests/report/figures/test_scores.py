"""ROC curve and confusion matrix of the test scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from edge_cases import CASES, GRID, XRAYS, curves
from hypothesis import given
from hypothesis import strategies as st
from records import Ended, record

from tune_app.errors import RunError
from tune_app.report import figures
from tune_app.report.figures import NotDrawn, scores
from tune_app.results import Frames
from tune_app.stats import metrics


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return CASES["finished"](tmp_path_factory.mktemp("finished"))


scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@given(scored)
def test_the_area_under_the_roc_curve_is_the_auc(rows: list[tuple[int, bool]]) -> None:
    score = np.array([value for value, _ in rows], np.float32)
    positive = np.array([label for _, label in rows])
    false, true = scores.roc(score, positive)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(metrics.auc(score, positive))


def test_the_confusion_matrix_agrees_with_the_recorded_metrics(finished: Frames) -> None:
    info = scores.scores_info(finished)
    counts = scores.confusion(info)
    assert counts.shape == (3, 2, 2)
    assert (counts.sum(axis=(1, 2)) == 60).all()
    own = finished.seeds[finished.seeds["sample"] == info.sample].set_index("replicate")
    for replicate, matrix in enumerate(counts):
        (tn, fp), (fn, tp) = matrix
        assert (tn + tp) / 60 == pytest.approx(own["test_accuracy"][replicate])
        assert tp / (tp + fn) == pytest.approx(own["test_sensitivity"][replicate])
        assert tn / (tn + fp) == pytest.approx(own["test_specificity"][replicate])


def test_scores_of_three_classes_have_a_matrix_and_no_roc_curve(tmp_path: Path) -> None:
    frames = record(tmp_path, GRID, {i: Ended(curves(i, 3, 4)) for i in range(1, 7)}, XRAYS)
    best = int(frames.trials.sort_values("val_accuracy_mean")["sample"].iloc[-1])
    rows = np.zeros((3, 6, 3), np.float32)
    rows[:, np.arange(6), [0, 1, 2, 0, 1, 0]] = 1
    attempt = frames.sweep.history.configurations[best].attempts[-1]
    attempt.scores = frames.sweep.scores.append(rows.astype("<f4").tobytes(), rows.shape)
    lines = ["index,label,name,patient", *(f"{i},{i % 3},," for i in range(6))]
    frames.sweep.paths.test_images.write_text("\n".join(lines) + "\n", encoding="utf-8")
    info = scores.scores_info(frames)
    assert info.classes == ["class 0", "class 1", "class 2"]
    assert scores.confusion(info)[0].tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
    [picture] = figures.draw(frames, "confusion")
    assert "6 test images" in picture.alt
    with pytest.raises(NotDrawn, match=r"\b3\b"):
        figures.draw(frames, "roc")


def test_scores_that_do_not_fit_the_list_of_images_are_damage(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    frames.sweep.paths.test_images.write_text("index,label,name,patient\n0,1,,\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"\b1 image.*\b60\b"):
        scores.scores_info(frames)


def test_a_diverged_replicates_scores_are_left_out(tmp_path: Path) -> None:
    frames = CASES["finished"](tmp_path)
    sample = scores.scores_info(frames).sample
    attempt = frames.sweep.history.configurations[sample].attempts[-1]
    rows = frames.scores(sample).copy()
    rows[1] = math.nan
    attempt.scores = frames.sweep.scores.append(rows.astype("<f4").tobytes(), rows.shape)
    assert len(scores.scores_info(frames).scores) == 2
