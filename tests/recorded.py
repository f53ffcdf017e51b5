"""Runs written by hand for judging: test answers image by image, curves, ends. Nothing is trained."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app import results, space
from tune_app.data.identity import DataIdentity
from tune_app.results import Frames
from tune_app.stats import metrics
from tune_app.sweep import Sweep
from tune_app.sweep.events import Diverged, Epoch, Failed, Finished, Started, Stopped, Values

DATA = DataIdentity("xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 1800, "val": 200, "test": 400})


@dataclass(frozen=True)
class Ended:
    """How a configuration ended: its curves (an epoch a row, a replicate a column), and its test scores.

    ``curves`` by metric; ``scores`` (R, N) log-odds, from which the test metrics follow.
    """

    curves: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    scores: NDArray[np.float32] | None = None
    end: str = "finished"


def steady(*values: float, epochs: int = 2, **metrics: Sequence[float]) -> dict[str, list[list[float]]]:
    """The same validation accuracies, one a replicate, in every epoch; other metrics likewise."""
    return {name: [list(row)] * epochs for name, row in {"val_accuracy": values, **metrics}.items()}


def right(
    seed: int, shares: Sequence[float], images: int = 400, like: int | None = None
) -> NDArray[np.float32]:
    """Scores (R, N) of replicates that are right on these shares of the images; even images are class 0.

    Which images are hard is drawn by ``like`` (else by ``seed``), and shared by all replicates.
    """
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(seed if like is None else like).normal(0, 1, images)
    labels = np.arange(images) % 2
    scores = []
    for share in shares:
        margin = hard + rng.normal(0, 1, images)
        margin -= np.quantile(margin, 1 - share)
        scores.append(np.where(labels == 1, margin, -margin))
    return np.array(scores, dtype=np.float32)


def record(
    folder: Path,
    text: str,
    ended: Mapping[int, Ended],
    data: DataIdentity = DATA,
    patients: Sequence[str] | None = None,
    listed: bool = True,
    name: str = "run",
    confirms: str | None = None,
) -> Frames:
    """The frames of a run of the space in ``text`` whose samples ended so; the others are planned.

    ``patients`` name the test images' patients; without ``listed`` there is no list of test images.
    """
    sweep = Sweep.create(space.parse(text, name="my"), data, folder, name, confirms=confirms)
    images = max((one.scores.shape[1] for one in ended.values() if one.scores is not None), default=0)
    labels = np.arange(images) % 2
    if listed and images:
        with sweep.paths.test_images.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["index", "label", "name", "patient"])
            names = patients or [""] * images
            rows.writerows((i, label, f"{i}.png", names[i]) for i, label in enumerate(labels))
    with sweep.writing():
        for sample, one in ended.items():
            _write(sweep, sample, one, labels)
        return results.load(sweep)


def _write(sweep: Sweep, sample: int, one: Ended, labels: NDArray[np.int64]) -> None:
    trial, replicates = f"{sample}.1", list(range(sweep.space.seeds))
    target = sweep.space.epochs
    sweep.note(
        Started(trial=trial, sample=sample, replicates=replicates, epoch=0, target=target, node="here")
    )
    epochs = max((len(rows) for rows in one.curves.values()), default=0)
    for epoch in range(epochs):
        found: Values = {name: list(rows[epoch]) for name, rows in one.curves.items()}
        seconds = [0.1] * len(replicates)
        sweep.note(Epoch(trial=trial, epoch=epoch + 1, metrics=found, durations_s=seconds, device="cpu"))
    end: dict[str, Any] = {"trial": trial, "epoch": epochs, "evaluated": [epochs] * len(replicates)}
    if one.end == "finished":
        test: Values = {}
        place = None
        if one.scores is not None:
            each = [metrics.evaluate("test", row, 0.5, labels) for row in one.scores]
            test = {name: [row[name] for row in each] for name in each[0]}
            place = sweep.scores.append(one.scores.astype("<f4").tobytes(), one.scores.shape)
        sweep.note(Finished(**end, test=test, scores=place))
    elif one.end == "failed":
        sweep.note(Failed(trial=trial, reason="RuntimeError: boom", log="", sample=sample))
    elif one.end == "diverged":
        sweep.note(Diverged(trial=trial, epoch=1, replicates=[0]))
        sweep.note(Finished(**end, test={}, scores=None))
    else:
        sweep.note(Stopped(trial=trial, reason=one.end))
