"""A folder of images, ``{train,test}/{NORMAL,PNEUMONIA}/*.jpeg``: read, or imported as the course's files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tune_app.data import course
from tune_app.data.images import (
    CLASSES,
    FILTER,
    SEED,
    SUFFIXES,
    Images,
    Pool,
    check_size,
    decode,
    join,
    pixel_keys,
    shuffled,
)
from tune_app.errors import DataError
from tune_app.version import __version__

DEFAULT_SIZE = 256
PER_CLASS = {"train": 1000, "test": 200}  # as many as the course's files hold
LAYOUT = "train/NORMAL, train/PNEUMONIA, test/NORMAL, test/PNEUMONIA"

# person12_bacteria_46.jpeg; IM-0115-0001.jpeg; NORMAL2-IM-0338-0001.jpeg, numbered apart from the IM- ones
_PATIENT = re.compile(r"(person\d+)_|((?:NORMAL\d+-)?IM-\d+)")


def is_image_folder(folder: Path) -> bool:
    """Whether any of the four class folders is there."""
    return any((folder / name).is_dir() for name in LAYOUT.split(", "))


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
            files = _files(folder / split / name.upper())
            wanted = len(files) if everything else PER_CLASS[split]
            part, passed_over = _draw(files, label, size, wanted, test_keys)
            parts.append(part)
            dropped += passed_over
            if len(part) < wanted and not everything:
                notes.append(f"Only {len(part)} {split} images of {name}, where {wanted} were wanted.")
        sets[split] = join(parts)
        test_keys = set(pixel_keys(sets[split].x))
    return Pool(sets["train"], sets["test"], tuple(sorted(dropped)), tuple(notes))


def _files(folder: Path) -> list[Path]:
    try:
        # A leading dot: macOS leaves "._x.jpeg" beside what it unpacks.
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}. An image folder holds {LAYOUT}.\n"
            "  Make that folder and put its images there"
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
    names = ["/".join(file.parts[-3:]) for file in files]
    kept: dict[int, NDArray[np.uint8]] = {}
    passed_over: list[str] = []
    order = iter(shuffled(len(files)))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while batch := list(islice(order, wanted - len(kept))):
            pixels = list(pool.map(lambda index: decode(files[index], size), batch))
            for index, image, key in zip(batch, pixels, pixel_keys(np.stack(pixels)), strict=True):
                if key in avoid:
                    passed_over.append(names[index])
                else:
                    kept[index] = image
    if not kept:
        raise DataError(
            f"{files[0].parent}: every one of its {len(files)} images is a test image too, so none is left "
            "to train on.\n  Give the training folder images of its own"
        )
    rows = sorted(kept)
    x, y = np.stack([kept[row] for row in rows]), np.full(len(rows), label, dtype=np.int64)
    patients = tuple(patient_of(files[row].name) for row in rows)
    return Images(x, y, tuple(names[row] for row in rows), patients), passed_over


def import_folder(
    source: Path | str, out: Path | str, *, image_size: int = DEFAULT_SIZE, everything: bool = False
) -> course.Meta:
    """Write the images of ``source`` to the new folder ``out``, as four arrays and meta.json.

    All or nothing: ``out`` appears under its name only when it is complete. Raises DataError if ``out``
    exists or cannot be written, or for whatever ``load`` would refuse in ``source``.
    """
    source, out = Path(source), Path(out)
    check_size(image_size)
    if out.exists():
        raise DataError(
            f"{out}: exists, and an import never overwrites.\n  Choose another --out, or remove this folder"
        )
    if not is_image_folder(source):
        raise DataError(
            f"{source}: not an image folder; it must hold {LAYOUT}.\n"
            "  Name the folder that holds train and test"
        )
    pool = read(source, image_size, everything)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    about = {
        "tune_app": __version__,
        "source": source.resolve().name,
        "image_size": image_size,
        "resize_filter": FILTER.name.lower(),
        "draw_seed": SEED,
        "everything": everything,
    }
    try:
        written = course.write(partial, pool, about)
        partial.rename(out)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written: {error.strerror}.\n  Free some space, or choose another --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written
