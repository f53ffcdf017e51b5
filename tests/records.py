"""Run folders written by hand: curves, ends, and test answers image by image. Nothing is trained."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recorder import Recorder, Row
from tune_app import results, space
from tune_app.data.identity import DataIdentity
from tune_app.results import Frames
from tune_app.stats import metrics
from tune_app.sweep import Sweep
from tune_app.sweep.events import Opened

DATA = DataIdentity("xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 1800, "val": 200, "test": 400})


@dataclass(frozen=True)
class Ended:
    """How a configuration ended.

    ``curves``: by metric, a row for each epoch with a value for each replicate, or one for all. ``scores``:
    (R, N) log-odds of the test images, from which the test metrics follow; or ``test``: the test metrics,
    with a value for each replicate. ``end``: a status.
    """

    curves: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    scores: NDArray[np.float32] | None = None
    end: str = "finished"
    test: Mapping[str, Row] = field(default_factory=dict)


def steady(*values: float, epochs: int = 2, **metrics: Row) -> dict[str, list[Row]]:
    """Curves of the same validation accuracies, one for each replicate, in every epoch; others likewise."""
    return {name: [list(row)] * epochs for name, row in {"val_accuracy": values, **metrics}.items()}


#: Two configurations: the last epoch is better in the second, the mean of the last two epochs in the first.
TWO_CURVES = {
    1: Ended({"val_accuracy": [[0.8, 0.8, 0.8], [0.9, 0.92, 0.91], [0.7, 0.71, 0.69]]}),
    2: Ended({"val_accuracy": [[0.5, 0.5, 0.5], [0.6, 0.61, 0.62], [0.75, 0.76, 0.74]]}),
}
TWO_POINTS = "task: pneumonia\nconfigs: [{lr: 1e-6}, {lr: 2e-6}]\nepochs: 3\nseeds: 3\n"


def constant(
    test: Row = (),
    val: Sequence[float] = (),
    end: str = "finished",
    epochs: int = 30,
    metrics: Mapping[str, Row] | None = None,
) -> Ended:
    """A configuration with the same metrics in every epoch; ``test`` and ``val`` are accuracies."""
    known = [value for value in test if value is not None]
    curves = steady(*(val or known or [0.5]), epochs=epochs, **(metrics or {}))
    return Ended(curves, end=end, test={"test_accuracy": test} if test else {})


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
    name: str | None = "run",
    confirms: str | None = None,
    space_name: str = "my",
    settings: Mapping[str, object] | None = None,
) -> Frames:
    """The frames of a run of the space in ``text`` whose samples ended so; the others are planned.

    Args:
        patients: of the test images.
        listed: whether there is a list of test images.
        name: of the run; None for the next number of ``space_name``.
        settings: what the task leaves at its defaults, as a session records it.
    """
    sweep = Sweep.create(space.parse(text, name=space_name), data, folder, name, confirms=confirms)
    images = max((one.scores.shape[1] for one in ended.values() if one.scores is not None), default=0)
    labels = np.arange(images) % 2
    if listed and images:
        with sweep.paths.test_images.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["index", "label", "name", "patient"])
            names = patients or [""] * images
            rows.writerows((i, label, f"{i}.png", names[i]) for i, label in enumerate(labels))
    with sweep.writing():
        if settings is not None:
            sweep.note(Opened(provenance={"settings": dict(settings)}))
        for sample, one in ended.items():
            _write(sweep, sample, one, labels)
        return results.load(sweep)


def _write(sweep: Sweep, sample: int, one: Ended, labels: NDArray[np.int64]) -> None:
    recorder = Recorder.of(sweep)
    trial = recorder.start(sample)
    for epoch in range(max((len(rows) for rows in one.curves.values()), default=0)):
        recorder.epoch(trial, {name: rows[epoch] for name, rows in one.curves.items()})
    match one.end:
        case "finished":
            test, place = dict(one.test), None
            if one.scores is not None:
                each = [metrics.evaluate("test", row, 0.5, labels) for row in one.scores]
                test = {name: [row[name] for row in each] for name in each[0]}
                place = sweep.scores.append(one.scores.astype("<f4").tobytes(), one.scores.shape)
            recorder.finish(trial, test, place)
        case "failed":
            recorder.fail(trial)
        case "diverged":
            recorder.diverge(trial)
            recorder.finish(trial)
        case "stopped":
            recorder.stop(trial)
        case "interrupted":
            recorder.interrupt()
        case other:
            assert other == "running", other
