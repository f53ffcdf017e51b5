"""Metrics of one split from its logits: accuracy, loss, AUC, sensitivity, specificity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scores(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Logits (N, C) to what is kept of them: the log-odds of class 1, (N,), for C <= 2, else (N, C)."""
    if logits.shape[1] == 1:
        logits = logits[:, 0]
    elif logits.shape[1] == 2:
        logits = logits[:, 1] - logits[:, 0]
    return np.asarray(logits, dtype=np.float32)


def predictions(score: NDArray[Any]) -> NDArray[np.int64]:
    """Scores (N,) or (N, C) to classes (N,); a log-odds of exactly 0 counts as class 0."""
    return (score > 0).astype(np.int64) if score.ndim == 1 else score.argmax(axis=1)


def evaluate(split: str, score: NDArray[Any], loss: float, y: NDArray[np.int64]) -> dict[str, float]:
    """Metrics of a split, each named ``<split>_...``; a share of no images is left out.

    ``score`` is (N,) log-odds of class 1, or (N, C) logits; ``loss`` the mean over the N images; ``y`` (N,).
    """
    predicted = predictions(score)
    found = {"accuracy": float((predicted == y).mean()), "loss": loss}
    if score.ndim == 1:
        positive = y == 1
        if positive.any():
            found["sensitivity"] = float((predicted[positive] == 1).mean())
        if not positive.all():
            found["specificity"] = float((predicted[~positive] == 0).mean())
        if positive.any() and not positive.all():
            found["auc"] = auc(score, positive)
    return {f"{split}_{name}": value for name, value in found.items()}


def auc(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    The Mann-Whitney statistic over mean ranks (Hanley and McNeil, Radiology 143, 1982).
    """
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    rank_sum = float(mean_ranks[inverse][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
