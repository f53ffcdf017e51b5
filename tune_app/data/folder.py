"""A folder of image files: ``{train,test}/{NORMAL,PNEUMONIA}/*.jpeg``, any size and mode."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from tune_app.data.images import CLASSES, Images, Pool, join, pixel_keys
from tune_app.data.pixels import SUFFIXES, decode
from tune_app.data.split import shuffled
from tune_app.errors import DataError

DEFAULT_SIZE = 256
PER_CLASS = {"train": 1000, "test": 200}  # as many as the course's files hold

# person12_bacteria_46.jpeg; IM-0115-0001.jpeg; NORMAL2-IM-0338-0001.jpeg, numbered apart from the IM- ones
_PATIENT = re.compile(r"(person\d+)_|((?:NORMAL\d+-)?IM-\d+)")


def is_image_folder(folder: Path) -> bool:
    """Whether any of the four class folders is there."""
    return any(_class_folder(folder, split, name).is_dir() for split in PER_CLASS for name in CLASSES)


def patient_of(file_name: str) -> str:
    """The patient that a file's name tells, or "".

    >>> patient_of("person12_bacteria_46.jpeg"), patient_of("NORMAL2-IM-0338-0001.jpeg"), patient_of("a.png")
    ('person12', 'NORMAL2-IM-0338', '')
    """
    match = _PATIENT.match(file_name)
    return match[0].rstrip("_") if match else ""


def read(folder: Path, size: int = DEFAULT_SIZE, everything: bool = False) -> Pool:
    """A seeded draw of up to 1,000 training and 200 test images of each class, or all of them.

    A training image that, at this size, is a test image pixel for pixel is passed over and another
    drawn in its place. Raises DataError for an empty class or an unreadable file.
    """
    notes: list[str] = []
    dropped: list[str] = []
    sets: dict[str, Images] = {}
    test_keys: set[bytes] = set()
    for split in ("test", "train"):
        parts = []
        for label, name in enumerate(CLASSES):
            files = _files(_class_folder(folder, split, name))
            wanted = len(files) if everything else PER_CLASS[split]
            part, passed_over = _draw(files, label, size, wanted, test_keys)
            parts.append(part)
            dropped += passed_over
            if len(part) < wanted and not everything:
                notes.append(f"Only {len(part)} {split} images of {name}, where {wanted} were wanted.")
        sets[split] = join(parts)
        test_keys = set(pixel_keys(sets[split].x))
    return Pool(sets["train"], sets["test"], tuple(sorted(dropped)), tuple(notes))


def _class_folder(folder: Path, split: str, name: str) -> Path:
    return folder / split / name.upper()


def _files(folder: Path) -> list[Path]:
    try:
        # A leading dot: macOS leaves "._x.jpeg" beside what it unpacks.
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}. An image folder holds train/NORMAL, train/PNEUMONIA, test/NORMAL "
            f"and test/PNEUMONIA.\n  Make that folder and put its images there"
        ) from error
    files = sorted(path for path in paths if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: no image in it ({', '.join(SUFFIXES)}); every class needs some.\n"
            "  Put its images there"
        )
    return files


def _draw(
    files: list[Path], label: int, size: int, wanted: int, avoid: Collection[bytes]
) -> tuple[Images, list[str]]:
    """``wanted`` of one class's files in a seeded draw, and the names of those passed over for ``avoid``."""
    kept: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
    passed_over: list[str] = []
    order = iter(shuffled(len(files)))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while batch := list(islice(order, wanted - len(kept))):
            pixels = list(pool.map(lambda index: decode(files[index], size), batch))
            for index, image, key in zip(batch, pixels, pixel_keys(np.stack(pixels)), strict=True):
                if key in avoid:
                    passed_over.append(_name(files[index]))
                else:
                    kept[index] = image
    if not kept:
        raise DataError(
            f"{files[0].parent}: every one of its {len(files)} images is a test image too, so none is left "
            "to train on.\n  Give the training folder images of its own"
        )
    rows = sorted(kept)
    images = Images(
        np.stack([kept[row] for row in rows]),
        np.full(len(rows), label, dtype=np.int64),
        tuple(_name(files[row]) for row in rows),
        tuple(patient_of(files[row].name) for row in rows),
    )
    return images, passed_over


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:])
