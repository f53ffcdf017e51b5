"""From a source's name to a Dataset: read, split, fingerprint, note."""

from __future__ import annotations

from pathlib import Path

from tune_app.data import course, folder, phantom
from tune_app.data import split as splitting
from tune_app.data.identity import DataIdentity
from tune_app.data.images import Dataset, Pool, fingerprint
from tune_app.errors import DataError, nearest

NAMES = ("phantom", "course")
SIZES = (8, 4096)


def load(
    source: str = "phantom", *, image_size: int | None = None, split: str = "image", everything: bool = False
) -> Dataset:
    """Training, validation and test images of ``source``, and what they are.

    ``source`` is "phantom" (synthetic), "course" (what ``tune-app data fetch`` brought to ``data/course``)
    or a folder: the course's four ``.npy`` files, or ``{train,test}/{NORMAL,PNEUMONIA}/`` with images.
    ``image_size`` is in pixels a side; without it 64 for the phantom, as stored for arrays, 256 for image
    files. ``everything`` takes all files of an image folder instead of 1,000 and 200 a class; the other
    sources are always taken whole. Raises DataError for whatever is missing, damaged or cannot be split.
    """
    check_size(image_size)
    splitting.check_split(split)
    kind, name, pool = _read(source, image_size, everything)
    train, val = splitting.train_val(pool.train, split)
    notes = [*pool.notes]
    if pool.dropped:
        notes.append(f"{len(pool.dropped)} training images left out, being test images pixel for pixel.")
    notes += splitting.sharing_notes(train, val)
    identity = DataIdentity(
        source=name,
        kind=kind,
        fingerprint=fingerprint((train, val, pool.test)),
        image_size=train.x.shape[1],
        split=split,
        counts={"train": len(train), "val": len(val), "test": len(pool.test)},
        notes=tuple(notes),
    )
    return Dataset(train, val, pool.test, identity, pool.dropped)


def check_size(size: int | None) -> None:
    """Raise DataError for an image size that no image can have."""
    low, high = SIZES
    if size is not None and not low <= size <= high:
        raise DataError(
            f"image size {size}: must be from {low} to {high} pixels a side.\n  Leave it out for the default"
        )


def _read(source: str, size: int | None, everything: bool) -> tuple[str, str, Pool]:
    """(kind, name for people, images)."""
    if source == "phantom":
        return "phantom", "phantom", phantom.read(size or phantom.DEFAULT_SIZE)
    if source == "course":
        return "course", "course", _fetched(size)
    path = Path(source)
    name = path.resolve().name
    if course.is_layout(path):
        pool = course.read(path, size)
        if course.first_differing_file(path) is None:
            return "course", "course", pool
        return "folder", name, pool
    if folder.is_image_folder(path):
        return "folder", name, folder.read(path, size or folder.DEFAULT_SIZE, everything)
    if path.is_dir():
        raise DataError(
            f"{path}: neither the course's files ({', '.join(course.COURSE_FILES)}) nor an image folder "
            "(train/NORMAL, train/PNEUMONIA, test/NORMAL, test/PNEUMONIA).\n"
            "  Name the folder that holds train and test"
        )
    raise DataError(
        f'no data called "{source}".{nearest(source, NAMES)}\n'
        f"  looked for: {', '.join(NAMES)}, and a folder of that name\n"
        "  get the course's files with: tune-app data fetch; or make arrays of your own images with: "
        "tune-app data import DIR --out OUT"
    )


def _fetched(size: int | None) -> Pool:
    wrong = course.first_differing_file(course.COURSE_DIR)
    if wrong is not None:
        path = course.COURSE_DIR / wrong
        what = "not the course's file (its git blob id differs)" if path.exists() else "not there yet"
        raise DataError(f"{path}: {what}.\n  Get it with: tune-app data fetch")
    return course.read(course.COURSE_DIR, size)
