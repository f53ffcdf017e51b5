"""The chosen configuration on the test set: confusion matrix and ROC curve, from the stored scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tune_app import results
from tune_app.data import CLASSES
from tune_app.errors import RunError
from tune_app.report import formats
from tune_app.report.figures import selection, style
from tune_app.report.figures.picture import NotDrawn, Picture, sentences
from tune_app.stats import metrics
from tune_app.stats.arithmetic import to_decimals
from tune_app.text import counted

if TYPE_CHECKING:
    from tune_app.results import Frames


@dataclass(frozen=True)
class ScoresInfo:
    """Test scores of the configuration that ranks first.

    ``scores`` is (R, N), log-odds of class 1, or (R, N, C); ``labels`` (N,); ``classes`` their C names.
    """

    sample: int
    label: str
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: list[str]


def scores_info(frames: Frames) -> ScoresInfo:
    """Scores and labels of the test images.

    Raises:
        NotDrawn: nothing has finished, or the task keeps no scores or no labels.
        RunError: a damaged file.
    """
    ranked = results.ranked(frames)
    if ranked.empty:
        raise NotDrawn("no configuration has finished")
    best = ranked.iloc[0]
    sample = int(best["sample"] if pd.isna(best["twin"]) else best["twin"])
    scores = frames.scores(sample)
    if scores.size == 0:
        raise NotDrawn("the task keeps no test scores")
    labels = _labels(frames)
    if scores.shape[1] != len(labels):
        raise RunError(
            f"{frames.sweep.paths.test_images}: names {len(labels)} images, but there are scores of "
            f"{scores.shape[1]}. Restore it from a copy, or remove it: their figures are then left out."
        )
    count = 2 if scores.ndim == 2 else scores.shape[2]
    classes = list(CLASSES) if count == len(CLASSES) else [f"class {i}" for i in range(count)]
    # a replicate that diverged has no scores
    known = np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if not known.any():
        raise NotDrawn("every replicate of the best configuration has scores that are not finite")
    label = selection.labels(frames, [int(best["sample"])])[int(best["sample"])]
    return ScoresInfo(int(best["sample"]), label, scores[known], labels, classes)


def _labels(frames: Frames) -> NDArray[np.int64]:
    images = frames.test_images()
    if images is None:
        raise NotDrawn("the labels of the test images are not recorded")
    return images["label"].to_numpy(np.int64)


def confusion(info: ScoresInfo) -> NDArray[np.int64]:
    """Images by true and predicted class, of each replicate: (R, C, C)."""
    size = len(info.classes)
    found = np.zeros((len(info.scores), size, size), np.int64)
    for replicate, row in enumerate(info.scores):
        np.add.at(found[replicate], (info.labels, metrics.predictions(row)), 1)
    return found


def roc(
    score: NDArray[np.float32], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates, (K,) each, from (0, 0) to (1, 1): a step for each distinct score.

    Images with the same score are called positive together, so a tie is a slanted line; the area under it
    is then that of :func:`tune_app.stats.metrics.auc`.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    true = np.cumsum(positive[order])[ends]
    false = ends + 1 - true
    return (
        np.concatenate([[0.0], false / max(1, int((~positive).sum()))]),
        np.concatenate([[0.0], true / max(1, int(positive.sum()))]),
    )


def confusion_matrix(frames: Frames) -> list[Picture]:
    """How the best configuration calls the test images of each class, as a mean over its seeds."""
    info = scores_info(frames)
    counts = confusion(info)
    mean = counts.mean(axis=0)
    shares = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1)
    size = len(info.classes)
    with style.styled():
        figure = style.canvas(min(style.WIDTH, 3.0 + 0.75 * size), 1.6 + 0.75 * size)
        axes = figure.subplots()
        axes.grid(visible=False)
        shown = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        names = [style.text_of(selection.cut(name)) for name in info.classes]
        axes.set_xticks(range(size), names, rotation=45 if size > 4 else 0)
        axes.set_yticks(range(size), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true class")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        decimals = 0 if len(counts) == 1 else 1
        for true, called in np.ndindex(size, size) if size <= 10 else ():
            share = shares[true, called]
            axes.text(
                called,
                true,
                f"{to_decimals(mean[true, called], decimals)}\n{to_decimals(share, 1, 2)}%",
                ha="center",
                va="center",
                color="white" if share > 0.55 else style.INK,
            )
        figure.colorbar(shown, ax=axes, label="of the true class, %", pad=0.03)
    over = "of one seed" if len(counts) == 1 else f"mean over {counted(len(counts), 'seed')}"
    called = [f"{to_decimals(shares[i, i], 1, 2)}% of {name}" for i, name in enumerate(info.classes)]
    right = formats.listed(called if size <= 10 else [])
    return [
        Picture(
            "confusion",
            "Confusion matrix on the test set",
            f"Confusion matrix of {counted(len(info.labels), 'test image')}; "
            f"called rightly: {right or 'see the picture'}.",
            sentences(
                f"{info.label}, chosen by {formats.quantity(frames.sweep.space.metric.name)}; "
                f"test images, {over}, and their share of the true class"
            ),
            figure,
        )
    ]


def roc_curve(frames: Frames) -> list[Picture]:
    """The ROC curve of the best configuration on the test set: a line a seed."""
    info = scores_info(frames)
    if len(info.classes) != 2:
        raise NotDrawn(f"a ROC curve takes two classes, and there are {len(info.classes)}")
    positive = info.labels == 1
    if positive.all() or not positive.any():
        raise NotDrawn("all test images are of one class")
    areas = [metrics.auc(row, positive) for row in info.scores]
    across = np.linspace(0, 1, 201)
    heights = []
    with style.styled():
        figure = style.canvas(4.4, 4.1)
        axes = figure.subplots()
        for index, row in enumerate(info.scores):
            false, true = roc(row, positive)
            heights.append(np.interp(across, false, true))
            axes.plot(false, true, color="#8a8a8a", linewidth=0.8, label="one seed" if index == 0 else None)
        area = frames.units.measure("test_auc", areas, unit=True)
        if len(areas) > 1:
            mean = np.concatenate([[0.0], np.mean(heights, axis=0)[1:]])
            axes.plot(across, mean, color="#0072B2", linewidth=2, label=f"mean of {len(areas)} seeds")
        axes.plot([0, 1], [0, 1], color=style.INK, linewidth=0.8, linestyle=(0, (2, 2)), label="guessing")
        axes.set_xlabel(f"1 − specificity: {info.classes[0]} images called {info.classes[1]}")
        axes.set_ylabel(f"sensitivity: {info.classes[1]} images found")
        axes.set_aspect("equal")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.legend(loc="lower right", title=f"AUC {area}")
    over = {1: "", 2: ", the mean of the two seeds, and both"}.get(
        len(areas), ", the mean over the seeds with its 95% interval"
    )
    return [
        Picture(
            "roc",
            "ROC curve on the test set",
            f"ROC curve of {counted(len(info.labels), 'test image')}; area under it {area}.",
            sentences(
                f"{info.label}, chosen by {formats.quantity(frames.sweep.space.metric.name)}; "
                "AUC is the area under the curve" + over
            ),
            figure,
        )
    ]
