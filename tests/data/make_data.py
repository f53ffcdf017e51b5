"""Small image folders and course layouts, written to disk for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tune_app.data.course import COURSE_FILES
from tune_app.data.images import Images

SETS = ("train", "test")


def noise(count: int, side: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """``count`` different images (N, side, side)."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def images(count: int, patients: tuple[str, ...] = (), labels: NDArray[np.int64] | None = None) -> Images:
    """``count`` different images, by default all normal and of unknown patients."""
    return Images(
        noise(count),
        np.zeros(count, dtype=np.int64) if labels is None else labels,
        tuple(f"train/{i}" for i in range(count)),
        patients or ("",) * count,
    )


def layout(folder: Path, train: int = 20, test: int = 5, side: int = 8) -> Path:
    """The course's four files, every image another."""
    for number, name in enumerate(COURSE_FILES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, noise(train if name.startswith("train") else test, side, seed=number))
    return folder


def image_folder(folder: Path, train: int = 12, test: int = 4, side: int = 16) -> Path:
    """PNG files under the names of the real set, two images a patient; every image another."""
    for number, (name, label) in enumerate((name, label) for name in SETS for label in (0, 1)):
        place = folder / name / ("NORMAL", "PNEUMONIA")[label]
        place.mkdir(parents=True)
        for i, pixels in enumerate(noise(train if name == "train" else test, side, seed=number)):
            patient = i // 2 + (0 if name == "train" else 1000)
            file = f"IM-{patient:04d}-{i:04d}.png" if label == 0 else f"person{patient}_virus_{i}.png"
            Image.fromarray(pixels).save(place / file)
    return folder
