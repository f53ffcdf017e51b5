"""From a source's name to a Dataset: read, split into training and validation, fingerprinted."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from tune_app.data import course, folder, phantom
from tune_app.data.identity import DataIdentity
from tune_app.data.images import (
    CLASSES,
    Dataset,
    Images,
    Pool,
    check_size,
    fingerprint,
    patients_shared,
    pixel_keys,
    shuffled,
)
from tune_app.errors import DataError, nearest

NAMES = ("phantom", "course")
SPLITS = ("image", "patient")
VALIDATION_PERCENT = 10


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
    if split not in SPLITS:
        raise DataError(f'no split called "{split}".{nearest(split, SPLITS)} There are: {", ".join(SPLITS)}')
    kind, name, pool = _read(source, image_size, everything)
    train, val = train_val(pool.train, split)
    notes = [*pool.notes]
    if pool.dropped:
        notes.append(f"{len(pool.dropped)} training images left out, being test images pixel for pixel.")
    identity = DataIdentity(
        source=name,
        kind=kind,
        fingerprint=fingerprint((train, val, pool.test)),
        image_size=train.x.shape[1],
        split=split,
        counts={"train": len(train), "val": len(val), "test": len(pool.test)},
        notes=(*notes, *sharing_notes(train, val)),
    )
    return Dataset(train, val, pool.test, identity, pool.dropped)


def _read(source: str, size: int | None, everything: bool) -> tuple[str, str, Pool]:
    """(kind, name for people, images)."""
    path = course.COURSE_DIR if source == "course" else Path(source)
    if source == "phantom":
        return "phantom", "phantom", phantom.read(size or phantom.DEFAULT_SIZE)
    if source == "course" and (wrong := course.first_differing_file(path)):
        there = (path / wrong).exists()
        what = "not the course's file (its git blob id differs)" if there else "not there yet"
        raise DataError(f"{path / wrong}: {what}.\n  Get it with: tune-app data fetch")
    if course.is_layout(path):
        pool = course.read(path, size)
        known = course.first_differing_file(path) is None
        return ("course", "course", pool) if known else ("folder", path.resolve().name, pool)
    if folder.is_image_folder(path):
        pool = folder.read(path, size or folder.DEFAULT_SIZE, everything)
        return "folder", path.resolve().name, pool
    if path.is_dir():
        raise DataError(
            f"{path}: neither the course's files ({', '.join(course.COURSE_FILES)}) nor an image folder "
            f"({folder.LAYOUT}).\n  Name the folder that holds train and test"
        )
    raise DataError(
        f'no data called "{source}".{nearest(source, NAMES)}\n'
        f"  looked for: {', '.join(NAMES)}, and a folder of that name\n"
        "  get the course's files with: tune-app data fetch; or make arrays of your own images with: "
        "tune-app data import DIR --out OUT"
    )


def train_val(pool: Images, split: str) -> tuple[Images, Images]:
    """``pool`` as training and validation images, 10% of each class for validation.

    With "image" the units that move are images (identical ones as one), with "patient" all images of a
    patient. Counts then come as near to 10% as whole units allow, and at least one unit of each class
    is on either side. Raises DataError where that cannot be, or where "patient" finds unknown patients.
    """
    if split == "patient" and "" in pool.patients:
        raise DataError(
            f'split "patient" needs the patient of each image; {pool.patients.count("")} of {len(pool)} '
            "images name no patient.\n"
            "  Import them from an image folder whose file names tell (person1_..., IM-0115-...): "
            "tune-app data import DIR --out OUT; or use --split image"
        )
    held_out: set[int] = set()
    units = _units(pool, by_patient=split == "patient")
    for label, name in enumerate(CLASSES):
        # A unit with images of both classes would unbalance the other class: it stays in training.
        own = [unit for unit in units if all(pool.y[row] == label for row in unit)]
        held_out |= _choose(own, len(pool.rows(label)), name)
    train = [row for row in range(len(pool)) if row not in held_out]
    return pool.take(train), pool.take(sorted(held_out))


def sharing_notes(train: Images, val: Images) -> Iterator[str]:
    """What a split by image leaves to be said; a split by patient leaves nothing."""
    unknown = (train.patients + val.patients).count("")
    if unknown:
        yield (
            f"{unknown} of the {len(train) + len(val)} training and validation images name no patient: "
            "one patient may be in both sets."
        )
        return
    shared = patients_shared(train, val)
    for label, name in enumerate(CLASSES):
        rows = val.rows(label)
        if count := sum(val.patients[row] in shared for row in rows):
            yield (
                f"{count} of the {len(rows)} validation {name} images share a patient with training "
                "(split by image); --split patient avoids it."
            )


def _units(pool: Images, *, by_patient: bool) -> list[list[int]]:
    """Rows that must stay together: equal pixels, and equal patients if wanted.

    Each unit is in row order, and the units are in the order of their first row.
    """
    unit_of = [[row] for row in range(len(pool))]
    shared: list[Sequence[Hashable]] = [pixel_keys(pool.x), *([pool.patients] if by_patient else [])]
    for keys in shared:
        first: dict[Hashable, int] = {}
        for row, key in enumerate(keys):
            mine, other = unit_of[row], unit_of[first.setdefault(key, row)]
            if mine is not other:
                smaller, larger = sorted((mine, other), key=len)
                larger += smaller
                for each in smaller:
                    unit_of[each] = larger
    return [sorted(unit) for unit in {id(unit): unit for unit in unit_of}.values()]


def _choose(units: list[list[int]], images: int, name: str) -> set[int]:
    """The rows of validation: units that fit, in a seeded order, and one more if that is nearer."""
    if len(units) < 2:
        raise DataError(
            f"{images} {name} training images cannot be split: validation and training each need a "
            f"group of duplicates (or of a patient) of their own, and there are {len(units)}.\n"
            "  Give the training folder more images"
        )
    target = max(1, (images * VALIDATION_PERCENT + 50) // 100)
    chosen: list[int] = []
    rest: list[list[int]] = []
    for index in shuffled(len(units)):
        if len(chosen) + len(units[index]) <= target:
            chosen += units[index]
        else:
            rest.append(units[index])
    if len(rest) > 1:  # training keeps at least one
        smallest = min(rest, key=len)
        lacking = target - len(chosen)
        if not chosen or len(smallest) - lacking < lacking:
            chosen += smallest
    return set(chosen)
