"""The course's layout: four ``.npy`` files of grey images, uint8 (N, H, W)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tune_app.data import meta
from tune_app.data.images import CLASSES, Images, Pool, join, pixel_keys
from tune_app.data.pixels import resize
from tune_app.errors import DataError

COURSE_DIR = Path("data/course")
# Path in the folder -> git blob id of the course's own file.
COURSE_FILES: Mapping[str, str] = {
    "train/normal.npy": "3441143ccc293a939b2661dd7265df93df9db2dc",
    "train/pneumonia.npy": "1a979a1fbb475c0b232d7c3b268d3f7b4562c47e",
    "test/test_normal.npy": "c36d547316eb3d1a1669c9d54e653f08980a86ca",
    "test/test_pneumonia.npy": "ea2ff47c2f68ad02c0b2adcc40d901a26c3f996f",
}
_HINT = "get good files with: tune-app data fetch, or: tune-app data import DIR --out OUT"


def file_of(split: str, label: int) -> str:
    """The path inside the folder of one split ("train", "test") and class."""
    return f"{split}/{'test_' if split == 'test' else ''}{CLASSES[label]}.npy"


def is_layout(folder: Path) -> bool:
    """Whether any of the four files, or an import's meta.json, is there."""
    return any((folder / name).exists() for name in (*COURSE_FILES, meta.NAME))


def blob_id(path: Path) -> str:
    """The id that git gives to a file's content. Raises OSError."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def first_differing_file(folder: Path) -> str | None:
    """The first file of ``folder`` that is missing or not the course's, by its git blob id."""
    for name, blob in COURSE_FILES.items():
        if not (folder / name).is_file() or blob_id(folder / name) != blob:
            return name
    return None


def read(folder: Path, size: int | None = None) -> Pool:
    """The four files, at their stored size or resized to (size, size).

    Training images that are test images pixel for pixel are left out and named. Raises DataError for
    whatever is missing or damaged, and where meta.json's checksums say that a file was changed.
    """
    about = meta.read(folder)
    sets = {}
    shape: tuple[int, ...] | None = None
    for split in ("train", "test"):
        parts = []
        for label in range(len(CLASSES)):
            x = _array(folder / file_of(split, label))
            if shape is not None and x.shape[1:] != shape:
                raise DataError(
                    f"{folder / file_of(split, label)}: images of {_by(x.shape[1:])} pixels, but "
                    f"{file_of('train', 0)} has {_by(shape)}; all four must agree.\n  To fix it, {_HINT}"
                )
            shape = x.shape[1:]
            parts.append(_labelled(folder, split, label, x, about))
        sets[split] = join(parts)
    if size is None and shape is not None and shape[0] != shape[1]:
        raise DataError(
            f"{folder}: its images are {_by(shape)} pixels, and images must be square.\n"
            "  Have them resized: --image-size N"
        )
    train, test = (_resized(sets[split], size) for split in ("train", "test"))
    return _without_test_images(train, test, about)


def _array(path: Path) -> NDArray[np.uint8]:
    """A checked (N, H, W) array."""
    try:
        # memory-mapped: the header is checked against the file's length, and nothing is unpickled
        stored = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise DataError(
            f"{path}: missing. The course's layout is {', '.join(COURSE_FILES)}.\n  To fix it, {_HINT}"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: damaged, cut short, or no .npy file of plain numbers ({error}).\n  To fix it, {_HINT}"
        ) from error
    if stored.dtype != np.uint8 or stored.ndim != 3:
        raise DataError(
            f"{path}: an array of {stored.dtype} with shape {stored.shape}; it must be uint8 (N, H, W), "
            f"grey pixels 0-255.\n  To fix it, {_HINT}"
        )
    if 0 in stored.shape:
        raise DataError(
            f"{path}: no image in it (shape {stored.shape}); every class needs some.\n  To fix it, {_HINT}"
        )
    return np.array(stored, order="C")


def _labelled(folder: Path, split: str, label: int, x: NDArray[np.uint8], about: meta.Meta | None) -> Images:
    name = file_of(split, label)
    names, patients = tuple(f"{name}[{row}]" for row in range(len(x))), ("",) * len(x)
    if about is not None:
        known = about.files.get(name)
        if known is None or {len(known.names), len(known.patients)} != {len(x)}:
            raise DataError(
                f"{folder / meta.NAME}: does not describe the {len(x)} images of {name}.\n"
                "  Import again: tune-app data import DIR --out OUT"
            )
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != known.sha256:
            raise DataError(
                f"{folder / name}: changed since it was imported: its SHA-256 is {found[:12]}..., and "
                f"{meta.NAME} says {known.sha256[:12]}...\n  Import again: tune-app data import DIR --out OUT"
            )
        names, patients = tuple(known.names), tuple(known.patients)
    return Images(x, np.full(len(x), label, dtype=np.int64), names, patients)


def _resized(images: Images, size: int | None) -> Images:
    return images if size is None else Images(resize(images.x, size), images.y, images.names, images.patients)


def _without_test_images(train: Images, test: Images, about: meta.Meta | None) -> Pool:
    test_keys = set(pixel_keys(test.x))
    keys = pixel_keys(train.x)
    kept = train.take(row for row, key in enumerate(keys) if key not in test_keys)
    dropped = [name for name, key in zip(train.names, keys, strict=True) if key in test_keys]
    for label, name in enumerate(CLASSES):
        if not kept.rows(label):
            raise DataError(
                f"{file_of('train', label)}: every one of its images is a test image too, so none of {name} "
                f"is left to train on.\n  To fix it, {_HINT}"
            )
    if about is None:
        return Pool(kept, test, tuple(dropped))
    return Pool(kept, test, (*about.dropped, *dropped), tuple(about.notes))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
