"""The chosen configuration on the test set: confusion matrix and ROC curve, from the stored scores."""

from __future__ import annotations

from collections.abc import Iterator
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
    chosen: str
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
    best, twin = (ranked.iloc[0][name] for name in ("sample", "twin"))
    if frames.opened is not None and best not in frames.opened:
        raise NotDrawn("the test set is sealed until everything is trained")
    scores = frames.scores(int(best if pd.isna(twin) else twin))
    if scores.size == 0:
        raise NotDrawn("the task keeps no test scores")
    images = frames.test_images()
    if images is None:
        raise NotDrawn("the labels of the test images are not recorded")
    if scores.shape[1] != len(images):
        raise RunError(
            f"{frames.sweep.paths.test_images}: names {len(images)} images, but there are scores of "
            f"{scores.shape[1]}. Restore it from a copy, or remove it: their figures are then left out."
        )
    count = 2 if scores.ndim == 2 else scores.shape[2]
    classes = list(CLASSES) if count == len(CLASSES) else [f"class {i}" for i in range(count)]
    # a replicate that diverged has no scores
    known = np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if not known.any():
        raise NotDrawn("every replicate of the best configuration has scores that are not finite")
    by = formats.chosen_by(frames)
    chosen = f"{selection.labels(frames, [int(best)])[int(best)]}, chosen by {by}"
    return ScoresInfo(int(best), chosen, scores[known], images["label"].to_numpy(np.int64), classes)


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
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def confusion_matrix(frames: Frames) -> Iterator[Picture]:
    """How the best configuration calls the test images of each class, as a mean over its seeds."""
    info = scores_info(frames)
    counts = confusion(info)
    mean = counts.mean(axis=0)
    shares = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1)
    size, seeds = len(info.classes), len(counts)
    figure, axes = style.single(min(style.WIDTH, 3.0 + 0.75 * size), 1.6 + 0.75 * size)
    per_cent = [[f"{to_decimals(share, 1, 2)}%" for share in row] for row in shares]
    texts = [
        [f"{to_decimals(mean[i, j], int(seeds > 1))}\n{per_cent[i][j]}" for j in range(size)]
        for i in range(size)
    ]
    shown = style.matrix(axes, 100 * shares, texts if size <= 10 else [], 9, cmap="Blues", vmin=0, vmax=100)
    names = list(map(selection.cut, info.classes))
    axes.set_xticks(range(size), names)
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="true class")
    figure.colorbar(shown, ax=axes, label="of the true class, %", pad=0.03)
    over = "of one seed" if seeds == 1 else f"mean over {counted(seeds, 'seed')}"
    right = formats.listed([f"{per_cent[i][i]} of {name}" for i, name in enumerate(info.classes)])
    yield Picture(
        "confusion",
        "Confusion matrix on the test set",
        f"Confusion matrix of {counted(len(info.labels), 'test image')}; "
        f"called rightly: {right if size <= 10 else 'see the picture'}.",
        sentences(f"{info.chosen}; test images, {over}, and their share of the true class"),
        figure,
    )


def roc_curve(frames: Frames) -> Iterator[Picture]:
    """The ROC curve of the best configuration on the test set: a line a seed."""
    info = scores_info(frames)
    if len(info.classes) != 2:
        raise NotDrawn(f"a ROC curve takes two classes, and there are {len(info.classes)}")
    positive = info.labels == 1
    if positive.all() or not positive.any():
        raise NotDrawn("all test images are of one class")
    areas = [metrics.auc(row, positive) for row in info.scores]
    area, seeds = frames.units.measure("test_auc", areas, unit=True), len(areas)
    curves = [roc(row, positive) for row in info.scores]
    figure, axes = style.single(4.4, 4.1)
    for number, (false, true) in enumerate(curves):
        axes.plot(false, true, color="#8a8a8a", linewidth=0.8, label="" if number else "one seed")
    if seeds > 1:
        across = np.linspace(0, 1, 201)
        mean = np.mean([np.interp(across, *curve) for curve in curves], axis=0)
        mean[0] = 0.0
        axes.plot(across, mean, color=style.BLUE, linewidth=2, label=f"mean of {seeds} seeds")
    axes.plot([0, 1], [0, 1], color=style.INK, linewidth=0.8, linestyle=(0, (2, 2)), label="guessing")
    axes.set_xlabel(f"1 − specificity: {info.classes[0]} images called {info.classes[1]}")
    axes.set_ylabel(f"sensitivity: {info.classes[1]} images found")
    axes.set(aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", title=f"AUC {area}")
    over = {1: "", 2: ", the mean of the two seeds, and both"}.get(
        seeds, ", the mean over the seeds with its 95% interval"
    )
    yield Picture(
        "roc",
        "ROC curve on the test set",
        f"ROC curve of {counted(len(info.labels), 'test image')}; area under it {area}.",
        sentences(f"{info.chosen}; AUC is the area under the curve{over}"),
        figure,
    )
