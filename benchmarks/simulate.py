"""Sweeps with a known truth, drawn by the thousand: what the intervals and tests are tried on.

An answer is right where a latent score is above 0: a threshold of its class, plus a seed's skill, a
patient's and an image's difficulty, and a part of its own, all normal (a crossed probit model). Seeds are
correlated through the images they share, images through their patient: as in a real sweep.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tune_app.stats.patients import PatientGroups

Floats = NDArray[np.float64]

#: Sweeps drawn for each cell, and at a time.
DRAWS = 10_000
_AT_A_TIME = 250


def generator(*name: object) -> np.random.Generator:
    """A stream of its own for each cell, the same every time."""
    return np.random.default_rng(zlib.crc32(" ".join(map(str, name)).encode()))


def portions(draws: int) -> Iterator[int]:
    """``draws`` in pieces that fit into memory."""
    for start in range(0, draws, _AT_A_TIME):
        yield min(_AT_A_TIME, draws - start)


def single_images(images: int = 400) -> PatientGroups:
    """One image a patient, half of each class."""
    return PatientGroups.of(np.arange(images) % 2)


def several_images(images: int = 400) -> PatientGroups:
    """Patients with 1, 2, 3 or 4 images, all of one class."""
    sizes = np.arange(images) % 4 + 1
    patient = np.repeat(np.arange(images), sizes)[:images]
    return PatientGroups.of(patient % 2, [f"p{number}" for number in patient])


@dataclass(frozen=True)
class Truth:
    """A model of answers: ``easy`` is the threshold of the two classes, the rest standard deviations.

    ``bias`` is a seed's leaning to one class: what it wins there it loses on the other.
    """

    easy: tuple[float, float] = (1.0, 1.0)
    seed: float = 0.1
    bias: float = 0.0
    patient: float = 0.5
    image: float = 1.0

    def accuracy(self, units: PatientGroups) -> float:
        """The expected share of right answers, over all seeds and patients."""
        spread = np.sqrt(1 + self.seed**2 + self.bias**2 + self.patient**2 + self.image**2)
        return float(norm.cdf(np.asarray(self.easy)[units.label] / spread).mean())

    def auc(self) -> float:
        """The expected area under the curve of ``scores``, with no bias."""
        spread = 2 * (1 + self.patient**2 + self.image**2) + 4 * self.seed**2
        return float(norm.cdf(sum(self.easy) / np.sqrt(spread)))

    def margins(self, rng: np.random.Generator, units: PatientGroups, draws: int, replicates: int) -> Floats:
        """How far on the right side each answer is, (draws, R, N)."""
        images = len(units.patient)
        side = np.where(units.label == 1, 1.0, -1.0)
        found = rng.standard_normal((draws, replicates, images))
        found += np.asarray(self.easy)[units.label]
        found += self.seed * rng.standard_normal((draws, replicates, 1))
        found += self.bias * rng.standard_normal((draws, replicates, 1)) * side
        found += self.patient * rng.standard_normal((draws, 1, units.count))[..., units.patient]
        found += self.image * rng.standard_normal((draws, 1, images))
        return found

    def right(self, rng: np.random.Generator, units: PatientGroups, draws: int, replicates: int) -> Floats:
        """1 for a right answer, 0 for a wrong one, (draws, R, N)."""
        return (self.margins(rng, units, draws, replicates) > 0).astype(np.float64)

    def scores(self, rng: np.random.Generator, units: PatientGroups, draws: int, replicates: int) -> Floats:
        """Scores of class 1, (draws, R, N)."""
        return self.margins(rng, units, draws, replicates) * np.where(units.label == 1, 1.0, -1.0)


def accuracies(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    mean: float,
    sd: NDArray[np.float64] | float,
    shared: float = 0.0,
    images: int = 400,
) -> Floats:
    """Accuracies (draws, K, R), on a grid of 1 / images; replicates of the K correlate by ``shared``."""
    draws, configurations, replicates = shape
    common = rng.standard_normal((draws, 1, replicates))
    own = rng.standard_normal((draws, configurations, replicates))
    found = mean + sd * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    return np.asarray(np.clip(np.round(found * images) / images, 0, 1))
