"""Labelled images: decoded and resized, joined and chosen from, and which of them are the same."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tune_app.data.identity import DataIdentity
from tune_app.errors import DataError

CLASSES = ("normal", "pneumonia")  # a label is an index into this
SIZES = (8, 4096)  # pixels a side
SUFFIXES = (".jpeg", ".jpg", ".png")
FORMATS = ("JPEG", "PNG")
# Pillow's bilinear filter widens its support when it shrinks, so large films are averaged, not sampled.
FILTER = Image.Resampling.BILINEAR
SEED = 0  # part of what a dataset is: another seed would be other data


@dataclass(frozen=True)
class Images:
    """One labelled set of N grey images."""

    x: NDArray[np.uint8]  # (N, H, W)
    y: NDArray[np.int64]  # (N,) 0 normal, 1 pneumonia
    names: tuple[str, ...]  # (N,) a stable id, such as "train/NORMAL/IM-0115-0001.jpeg"
    patients: tuple[str, ...]  # (N,) "" where unknown

    def __post_init__(self) -> None:
        lengths = {len(self.x), len(self.y), len(self.names), len(self.patients)}
        if len(lengths) != 1:
            raise ValueError(f"x, y, names and patients differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Iterable[int]) -> Images:
        """Those rows, in that order."""
        index = np.fromiter(rows, dtype=np.intp)
        names, patients = (tuple(texts[i] for i in index) for texts in (self.names, self.patients))
        return Images(np.ascontiguousarray(self.x[index]), self.y[index], names, patients)

    def rows(self, label: int) -> list[int]:
        """The rows of one class."""
        return [int(i) for i in np.flatnonzero(self.y == label)]


@dataclass(frozen=True)
class Pool:
    """What a source holds before validation is drawn from its training images."""

    train: Images
    test: Images
    dropped: tuple[str, ...] = ()  # training images left out, being test images pixel for pixel
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """What a task gets: three sets that share no pixel-identical image."""

    train: Images
    val: Images
    test: Images
    identity: DataIdentity
    dropped: tuple[str, ...] = ()  # as in Pool

    def sets(self) -> dict[str, Images]:
        """The three by name, in the order train, val, test."""
        return {"train": self.train, "val": self.val, "test": self.test}


def join(parts: Sequence[Images]) -> Images:
    """One set after the other."""
    return Images(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        tuple(name for part in parts for name in part.names),
        tuple(patient for part in parts for patient in part.patients),
    )


def fingerprint(sets: Iterable[Images]) -> str:
    """SHA-256 over the pixels, labels and shapes of the sets, the same on every machine."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(json.dumps(["uint8", *images.x.shape]).encode())
        digest.update(np.ascontiguousarray(images.x, dtype=np.uint8).data)
        digest.update(np.ascontiguousarray(images.y, dtype="<i8").data)
    return digest.hexdigest()


def pixel_keys(x: NDArray[np.uint8]) -> list[bytes]:
    """A digest of each image's pixels (N, H, W): two images are duplicates where these are equal."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in x]


def patients_shared(a: Images, b: Images) -> frozenset[str]:
    """The known patients that have images in both sets."""
    return frozenset(a.patients) & frozenset(b.patients) - {""}


def shuffled(count: int, seed: int = SEED) -> list[int]:
    """0..count-1 in a seeded order.

    Sorted random numbers, and not ``permutation``, whose stream numpy may change between versions.
    """
    keys = np.random.Generator(np.random.PCG64(seed)).random(count)
    return [int(i) for i in np.argsort(keys, kind="stable")]


def check_size(size: int | None) -> None:
    """Raise DataError for an image size that no image can have."""
    low, high = SIZES
    if size is not None and not low <= size <= high:
        raise DataError(
            f"image size {size}: must be from {low} to {high} pixels a side.\n  Leave it out for the default"
        )


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """A file as grey pixels (size, size); the sides are scaled each on its own, as in the course's files.

    Raises DataError for what is no readable JPEG or PNG.
    """
    try:
        with warnings.catch_warnings():
            # Twice as many pixels are an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip at 255 instead of scaling
                    grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                else:
                    grey = image.convert("L")
                return np.asarray(grey.resize((size, size), FILTER))
    except Exception as error:  # Pillow raises what the damage happens to cause
        raise DataError(
            f"{path}: not a readable JPEG or PNG image ({str(error).replace(str(path), 'the file')}).\n"
            "  Replace it by a good copy, or take it out of the folder"
        ) from error


def resize(x: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A stack (N, H, W) as (N, size, size)."""
    if x.shape[1:] == (size, size):
        return x
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), FILTER)) for image in x])
