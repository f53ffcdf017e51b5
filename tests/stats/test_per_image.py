from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tune_app.stats import metrics
from tune_app.stats.patients import PatientGroups, variance_over_patients
from tune_app.stats.per_image import per_image


def drawn(seed: int, images: int = 40, replicates: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, images)
    labels[:2] = 0, 1
    scores = np.round(rng.normal(labels, 1.5, (replicates, images)), 1)  # rounded: some are tied
    return scores.astype(np.float32), labels


@given(st.integers(0, 2**32 - 1), st.sampled_from(["accuracy", "sensitivity", "specificity", "auc"]))
def test_the_mean_over_the_images_is_the_metric(seed: int, name: str) -> None:
    scores, labels = drawn(seed)
    found = per_image(f"test_{name}", scores, labels)
    assert found is not None
    assert found.values.shape == (3, len(found.rows))
    for row, score in zip(found.values, scores, strict=True):
        assert row.mean() == pytest.approx(metrics.evaluate("test", score, 0.0, labels)[f"test_{name}"])
    assert found.shares == (set(np.unique(found.values)) <= {0, 1} and name != "auc")


def test_which_images_count() -> None:
    scores, labels = drawn(1)
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        found = per_image(f"test_{name}", scores, labels)
        assert found is not None
        assert (labels[found.rows] == label).all()
        assert len(found.rows) == (labels == label).sum()


def test_the_spread_of_an_auc_is_delongs() -> None:
    scores, labels = drawn(5, images=80, replicates=1)
    positive, negative = scores[0][labels == 1], scores[0][labels == 0]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    s10, s01 = above.mean(axis=1).var(ddof=1), above.mean(axis=0).var(ddof=1)
    delong = s10 / len(positive) + s01 / len(negative)
    found = per_image("test_auc", scores, labels)
    assert found is not None
    units = PatientGroups.of(labels)
    variance = variance_over_patients(units.residuals(found.values[0]), units)
    assert found.values[0].mean() == pytest.approx(above.mean())
    # DeLong divides by n - 1 in each class, the linearised variance by N - 2 in both
    assert np.sqrt(variance) == pytest.approx(np.sqrt(delong), rel=2e-3)


def test_several_classes() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 30)
    logits = rng.normal(0, 1, (2, 30, 3)).astype(np.float32)
    found = per_image("test_accuracy", logits, labels)
    assert found is not None
    assert found.values.mean(axis=1) == pytest.approx((logits.argmax(-1) == labels).mean(axis=1))
    assert per_image("test_auc", logits, labels) is None
    assert per_image("test_sensitivity", logits, labels) is None


def test_a_loss_is_the_cross_entropy() -> None:
    scores, labels = drawn(3)
    found = per_image("test_loss", scores, labels)
    assert found is not None
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    expected = -np.log(np.where(labels == 1, probability, 1 - probability))
    assert found.values == pytest.approx(expected)
    logits = np.stack([np.zeros_like(scores), scores], axis=-1)
    same = per_image("test_loss", logits, labels)
    assert same is not None
    assert same.values == pytest.approx(expected)


def test_what_is_no_mean_over_images() -> None:
    scores, labels = drawn(4)
    assert per_image("test_f1", scores, labels) is None
    assert per_image("test_auc", scores, np.zeros_like(labels)) is None
    assert per_image("test_sensitivity", scores, np.zeros_like(labels)) is None
