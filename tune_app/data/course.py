"""The course's layout: four ``.npy`` files of grey images, uint8 (N, H, W), and an import's meta.json."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from tune_app.data.images import CLASSES, Images, Pool, join, pixel_keys, resize
from tune_app.errors import DataError

COURSE_DIR = Path("data/course")
# Path in the folder -> git blob id of the course's own file; for each split the classes in their order.
COURSE_FILES: Mapping[str, str] = {
    "train/normal.npy": "3441143ccc293a939b2661dd7265df93df9db2dc",
    "train/pneumonia.npy": "1a979a1fbb475c0b232d7c3b268d3f7b4562c47e",
    "test/test_normal.npy": "c36d547316eb3d1a1669c9d54e653f08980a86ca",
    "test/test_pneumonia.npy": "ea2ff47c2f68ad02c0b2adcc40d901a26c3f996f",
}
META = "meta.json"
_GET_GOOD_ONES = (
    "\n  To fix it, get good files with: tune-app data fetch, or: tune-app data import DIR --out OUT"
)
_IMPORT_AGAIN = "\n  Import again: tune-app data import DIR --out OUT"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileMeta(_Strict):
    """One ``.npy`` file: its SHA-256, and the name and patient of each image in it."""

    sha256: str
    names: list[str]
    patients: list[str]


class Meta(_Strict):
    """What an import knows of its arrays; ``files`` by path inside the folder, with "/"."""

    format: Literal[1] = 1
    tune_app: str
    source: str  # the image folder's name
    image_size: int
    resize_filter: str
    draw_seed: int
    everything: bool
    dropped: list[str]
    notes: list[str]
    files: dict[str, FileMeta]


def is_layout(folder: Path) -> bool:
    """Whether any of the four files, or an import's meta.json, is there."""
    return any((folder / name).exists() for name in (*COURSE_FILES, META))


def blob_id(path: Path) -> str:
    """The id that git gives to a file's content. Raises OSError."""
    with path.open("rb") as file:
        start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: start).hexdigest()


def first_differing_file(folder: Path) -> str | None:
    """The first file of ``folder`` that is missing or not the course's, by its git blob id."""
    for name, blob in COURSE_FILES.items():
        if not (folder / name).is_file() or blob_id(folder / name) != blob:
            return name
    return None


def write(folder: Path, pool: Pool, about: Mapping[str, Any]) -> Meta:
    """Write a pool to a new folder, and meta.json with what is known ``about`` it."""
    parts = [images.take(images.rows(label)) for images in (pool.train, pool.test) for label in (0, 1)]
    files = {}
    for name, part in zip(COURSE_FILES, parts, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, part.x, allow_pickle=False)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        files[name] = FileMeta(sha256=digest, names=list(part.names), patients=list(part.patients))
    meta = Meta(dropped=list(pool.dropped), notes=list(pool.notes), files=files, **about)
    (folder / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return meta


def read_meta(folder: Path) -> Meta | None:
    """The folder's meta.json; None where it has none. Raises DataError for a damaged one."""
    path = folder / META
    try:
        return Meta.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.\n  Make it readable") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        rule = f"damaged, or of another version of tune-app ({where}: {first['msg']})"
        raise DataError(f"{path}: {rule}.{_IMPORT_AGAIN}") from error


def read(folder: Path, size: int | None = None) -> Pool:
    """The four files, at their stored size or resized to (size, size).

    Training images that are test images pixel for pixel are left out and named. Raises DataError for
    whatever is missing or damaged, and where meta.json's checksums say that a file was changed.
    """
    meta = read_meta(folder)
    parts = [_labelled(folder, name, index % 2, meta) for index, name in enumerate(COURSE_FILES)]
    first, (height, width) = next(iter(COURSE_FILES)), parts[0].x.shape[1:]
    for name, (_, *sides) in zip(COURSE_FILES, (part.x.shape for part in parts), strict=True):
        if sides != [height, width]:
            rule = f"images of {sides[0]} x {sides[1]} pixels, but {first} has {height} x {width}"
            raise DataError(f"{folder / name}: {rule}; all four must agree.{_GET_GOOD_ONES}")
    if size is None and height != width:
        raise DataError(
            f"{folder}: its images are {height} x {width} pixels, and images must be square.\n"
            "  To resize them: --image-size N"
        )
    train, test = (
        replace(images, x=resize(images.x, size or height)) for images in (join(parts[:2]), join(parts[2:]))
    )
    keys, test_keys = pixel_keys(train.x), set(pixel_keys(test.x))
    kept = train.take(row for row, key in enumerate(keys) if key not in test_keys)
    for label, name in enumerate(CLASSES):
        if not kept.rows(label):
            rule = f"every one of the {name} training images is a test image too, so none is left to train on"
            raise DataError(f"{folder}: {rule}.{_GET_GOOD_ONES}")
    dropped = [name for name, key in zip(train.names, keys, strict=True) if key in test_keys]
    if meta is None:
        return Pool(kept, test, tuple(dropped))
    return Pool(kept, test, (*meta.dropped, *dropped), tuple(meta.notes))


def _array(path: Path) -> NDArray[np.uint8]:
    """A checked (N, H, W) array."""
    try:
        # memory-mapped: the header is checked against the file's length, and nothing is unpickled
        stored = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        rule = f"missing. The course's layout is {', '.join(COURSE_FILES)}"
        raise DataError(f"{path}: {rule}.{_GET_GOOD_ONES}") from None
    except (OSError, ValueError, EOFError) as error:
        rule = f"damaged, cut short, or not a .npy file of plain numbers ({error})"
        raise DataError(f"{path}: {rule}.{_GET_GOOD_ONES}") from error
    if stored.dtype != np.uint8 or stored.ndim != 3 or 0 in stored.shape:
        rule = f"an array of {stored.dtype} with shape {stored.shape}; it must be uint8 (N, H, W), N above 0"
        raise DataError(f"{path}: {rule}, grey pixels 0-255.{_GET_GOOD_ONES}")
    return np.array(stored, order="C")


def _labelled(folder: Path, name: str, label: int, meta: Meta | None) -> Images:
    x = _array(folder / name)
    names, patients = [f"{name}[{row}]" for row in range(len(x))], [""] * len(x)
    if meta is not None:
        known = meta.files.get(name)
        if known is None or {len(known.names), len(known.patients)} != {len(x)}:
            raise DataError(
                f"{folder / META}: does not describe the {len(x)} images of {name}.{_IMPORT_AGAIN}"
            )
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != known.sha256:
            rule = f"its SHA-256 is {found[:12]}..., and {META} says {known.sha256[:12]}..."
            raise DataError(f"{folder / name}: changed since it was imported: {rule}{_IMPORT_AGAIN}")
        names, patients = known.names, known.patients
    return Images(x, np.full(len(x), label, dtype=np.int64), tuple(names), tuple(patients))
