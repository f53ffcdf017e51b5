"""What each test image adds to a metric: values whose mean is the metric, one an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import rankdata

from tune_app.stats import metrics


@dataclass(frozen=True)
class PerImage:
    """Values (R, M) of the M images that count for a metric, and which of the N those are: ``rows`` (M,).

    A replicate's mean is its metric. ``shares`` says whether a value is 1 or 0, right or wrong.
    """

    values: NDArray[np.float64]
    rows: NDArray[np.intp]
    shares: bool


def per_image(metric: str, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> PerImage | None:
    """A test metric taken apart into images, or None for one that is no mean over images.

    An AUC is the mean of each image's placement value, the share of the other class that it is on the right
    side of (E. R. DeLong et al., Biometrics 44, 1988), spread out so that deviations weigh as they do in the
    AUC. A loss is the cross-entropy of the class; the others are shares of right answers. ``scores`` are (R,
    N) log-odds of class 1, or (R, N, C) logits; ``labels`` (N,).
    """
    kind = metric.partition("_")[2]
    binary = scores.ndim == 2
    every = np.arange(len(labels))
    if kind == "loss":
        return PerImage(_cross_entropy(scores, labels), every, shares=False)
    if kind == "auc" and binary and 0 < (labels == 1).sum() < len(labels):
        return PerImage(_placements(scores, labels == 1), every, shares=False)
    right = np.stack([metrics.predictions(row) == labels for row in scores]).astype(np.float64)
    if kind == "accuracy":
        return PerImage(right, every, shares=True)
    if kind in ("sensitivity", "specificity") and binary:
        rows = np.flatnonzero((labels == 1) == (kind == "sensitivity"))
        return PerImage(right[:, rows], rows, shares=True) if len(rows) else None
    return None


def _cross_entropy(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    logits = np.asarray(scores, dtype=np.float64)
    if logits.ndim == 2:
        logits = np.stack([np.zeros_like(logits), logits], axis=-1)
    chosen = np.take_along_axis(logits, np.broadcast_to(labels[:, None], (*logits.shape[:-1], 1)), -1)
    return np.asarray(logsumexp(logits, axis=-1) - chosen[..., 0])


def _placements(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(R, N) values with the AUC for mean within both classes, by mid-ranks (X. Sun and W. Xu, 2014)."""
    overall = rankdata(scores, axis=-1)
    values = np.empty_like(overall)
    for own in (positive, ~positive):
        below = (overall[:, own] - rankdata(scores[:, own], axis=-1)) / (~own).sum()
        placed = below if own is positive else 1 - below
        auc = placed.mean(axis=-1, keepdims=True)
        values[:, own] = auc + (placed - auc) * len(own) / own.sum()
    return values
