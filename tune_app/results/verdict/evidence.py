"""Outcomes on single test images: of each replicate on each image, grouped by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_app.results import Frames
from tune_app.stats.patients import PatientGroups
from tune_app.stats.per_image import per_image
from tune_app.text import counted

#: Fewer patients are no sample of other patients.
FEWEST_PATIENTS = 10

#: Tolerance between a metric computed from the scores and the recorded one: float32 sums in another order.
_CLOSE = 1e-4


@dataclass(frozen=True)
class Evidence:
    """``values`` by sample, (R, M), of the M images that count for a metric; ``shares``: each is 0 or 1."""

    values: Mapping[int, NDArray[np.float64]]
    units: PatientGroups
    shares: bool

    def in_words(self) -> str:
        """How images are grouped into patients, as a sentence."""
        images = counted(len(self.units.patient), "test image")
        if self.units.count == len(self.units.patient):
            return f"Patients: each of the {images} counts as a patient, being the only one or naming none."
        return f"Patients: {images} of {counted(self.units.count, 'patient')}."


def gather(frames: Frames, samples: Sequence[int], metric: str) -> Evidence | str:
    """The outcomes of some finished configurations, or the reason why there are none, as a clause.

    There are none if the scores do not give the recorded metric: a task may order its test images otherwise
    than the data. Raises RunError where the test scores or the list of test images is damaged.
    """
    if not metric.startswith("test_"):
        return "outcomes of single images are kept of the test set alone"
    images = frames.test_images()
    if images is None:
        return "the run holds no list of its test images"
    labels = images["label"].to_numpy(dtype=np.int64)
    values: dict[int, NDArray[np.float64]] = {}
    rows, shares = np.arange(len(labels)), False
    for sample in samples:
        recorded = frames.replicates(sample, metric).to_numpy()
        scores = frames.scores(sample)
        if scores.shape[:2] != (len(recorded), len(labels)):
            return "the run holds no score of every test image"
        found = per_image(metric, scores, labels)
        if found is None:
            return f"{metric} is no mean over single images"
        if not np.allclose(found.values.mean(axis=1), recorded, rtol=_CLOSE, atol=1e-6):
            return f"the recorded scores do not give the recorded {metric}"
        values[sample], rows, shares = found.values, found.rows, found.shares
    units = PatientGroups.of(labels, images["patient"].tolist()).take(rows)
    if units.count < FEWEST_PATIENTS:
        return f"{counted(units.count, 'patient')} cannot stand for others: it takes {FEWEST_PATIENTS}"
    return Evidence(values, units, shares)
