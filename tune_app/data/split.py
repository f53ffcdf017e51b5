"""Training and validation: a seeded draw that keeps duplicates, and on request patients, on one side."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from tune_app.data.images import CLASSES, Images, patients_shared, pixel_keys
from tune_app.errors import DataError, nearest

SPLITS = ("image", "patient")
SEED = 0  # part of what a dataset is: another seed would be other data
VALIDATION_PERCENT = 10


def shuffled(count: int, seed: int = SEED) -> list[int]:
    """0..count-1 in a seeded order.

    Sorted random numbers, and not ``permutation``, whose stream numpy may change between versions.
    """
    keys = np.random.Generator(np.random.PCG64(seed)).random(count)
    return [int(i) for i in np.argsort(keys, kind="stable")]


def train_val(pool: Images, split: str) -> tuple[Images, Images]:
    """``pool`` as training and validation images, 10% of each class for validation.

    With "image" the units that move are images (identical ones as one), with "patient" all images of a
    patient. Counts then come as near to 10% as whole units allow, and at least one unit of each class
    is on either side. Raises DataError where that cannot be, or where "patient" finds unknown patients.
    """
    check_split(split)
    if split == "patient" and "" in pool.patients:
        raise DataError(
            f'split "patient" needs to know whose image each is; {pool.patients.count("")} of {len(pool)} '
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
    val = [row for row in range(len(pool)) if row in held_out]
    train = [row for row in range(len(pool)) if row not in held_out]
    return pool.take(train), pool.take(val)


def check_split(split: str) -> None:
    """Raise DataError unless ``split`` is one of SPLITS."""
    if split not in SPLITS:
        raise DataError(f'no split called "{split}".{nearest(split, SPLITS)} There are: {", ".join(SPLITS)}')


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
        count = sum(val.patients[row] in shared for row in rows)
        if count:
            yield (
                f"{count} of the {len(rows)} validation {name} images share a patient with training "
                "(split by image); --split patient avoids it."
            )


def _units(pool: Images, *, by_patient: bool) -> list[list[int]]:
    """Rows that must stay together: equal pixels, and equal patients if wanted, each unit in row order."""
    parent = list(range(len(pool)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    keys: list[Sequence[Hashable]] = [pixel_keys(pool.x)]
    if by_patient:
        keys.append(pool.patients)
    for key in keys:
        first: dict[Hashable, int] = {}
        for row, value in enumerate(key):
            # The smaller row is the root, so that units come out in the order of their first row.
            a, b = sorted((root(first.setdefault(value, row)), root(row)))
            parent[b] = a
    units: dict[int, list[int]] = {}
    for row in range(len(pool)):
        units.setdefault(root(row), []).append(row)
    return list(units.values())


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
