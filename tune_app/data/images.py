"""Labelled images: the arrays that training sees, what they are called, and which of them are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_app.data.identity import DataIdentity

CLASSES = ("normal", "pneumonia")  # a label is an index into this


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
        return Images(
            np.ascontiguousarray(self.x[index]),
            self.y[index],
            tuple(self.names[i] for i in index),
            tuple(self.patients[i] for i in index),
        )

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
