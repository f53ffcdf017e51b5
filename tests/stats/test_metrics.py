from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tune_app.stats import metrics

#: Few distinct scores, so that ties are common.
TIED = st.sampled_from([-2.0, -1e-30, 0.0, 1e-30, 0.5, 3.0])
SCORES = st.lists(st.tuples(TIED | st.floats(-1e6, 1e6, width=32), st.integers(0, 1)), min_size=1)


def brute_force(pairs: list[tuple[float, int]]) -> dict[str, float]:
    """Every metric by its definition, over plain lists."""
    positive, negative = ([s for s, y in pairs if y == label] for label in (1, 0))
    found = {"accuracy": sum((s > 0) == (y == 1) for s, y in pairs) / len(pairs)}
    if positive:
        found["sensitivity"] = sum(s > 0 for s in positive) / len(positive)
    if negative:
        found["specificity"] = sum(s <= 0 for s in negative) / len(negative)
    if positive and negative:
        wins = sum((p > n) + 0.5 * (p == n) for p, n in itertools.product(positive, negative))
        found["auc"] = wins / (len(positive) * len(negative))
    return found


@given(SCORES)
def test_binary_metrics_are_their_definitions(pairs: list[tuple[float, int]]) -> None:
    score = np.array([s for s, _ in pairs], np.float64)
    y = np.array([label for _, label in pairs], np.int64)
    found = metrics.evaluate("val", score, 0.7, y)
    expected = {f"val_{name}": value for name, value in brute_force(pairs).items()}
    assert found == pytest.approx(expected | {"val_loss": 0.7}, abs=1e-12)


@given(SCORES)
def test_auc_knows_only_the_order(pairs: list[tuple[float, int]]) -> None:
    score, positive = np.array([s for s, _ in pairs]), np.array([y == 1 for _, y in pairs])
    if not 0 < positive.sum() < positive.size:
        return
    value = metrics.auc(score, positive)
    ranks = np.unique(score, return_inverse=True)[1]
    assert metrics.auc(ranks**3, positive) == value
    assert math.isclose(metrics.auc(-score, positive), 1 - value, abs_tol=1e-12)


def test_auc_of_a_hand_counted_case() -> None:
    # pairs: 0.4 over 0.1 and 0.3, 0.3 over 0.1 and even with 0.3
    assert metrics.auc(np.array([0.1, 0.3, 0.4, 0.3]), np.array([0, 0, 1, 1]) == 1) == 3.5 / 4


@given(
    arrays.arrays(np.float32, (5, 4), elements=st.floats(-9, 9, width=32)),
    arrays.arrays(np.int64, 5, elements=st.integers(0, 3)),
)
def test_more_than_two_classes_have_accuracy_and_loss_alone(
    logits: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    y: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    score = metrics.scores(logits)
    assert np.array_equal(score, logits)
    found = metrics.evaluate("test", score, 1.5, y)
    best = [row.index(max(row)) for row in logits.tolist()]
    assert found == {
        "test_accuracy": pytest.approx(sum(a == b for a, b in zip(best, y.tolist(), strict=True)) / 5),
        "test_loss": 1.5,
    }


@given(arrays.arrays(np.float32, (6, 2), elements=st.floats(-9, 9, width=32)))
def test_one_and_two_outputs_give_the_log_odds_of_class_1(
    logits: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    score = metrics.scores(logits)
    assert score.shape == (6,)
    assert np.array_equal(score, logits[:, 1] - logits[:, 0])
    assert np.array_equal(metrics.scores(logits[:, :1]), logits[:, 0])
    assert np.array_equal(metrics.predictions(score), logits.argmax(axis=1))
