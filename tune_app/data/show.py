"""What a dataset is, in numbers and in a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tune_app.data.images import CLASSES, Dataset, Images, patients_shared, pixel_keys
from tune_app.data.pixels import FILTER
from tune_app.data.split import shuffled
from tune_app.errors import DataError

_COLUMNS = 6  # images of each class and set
_TILE, _GAP, _MARGIN, _HEAD = 128, 6, 120, 34  # pixels
_PAPER, _INK, _FAINT = 255, 20, 110  # grey levels
_WORDS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset in numbers; ``lines`` tells them."""

    source: str
    fingerprint: str
    split: str
    shape: tuple[int, int]  # height, width in pixels
    counts: Mapping[str, Mapping[str, int]]  # set -> class -> images
    patients: Mapping[str, int | None]  # set -> known patients; None where some image names none
    shared: Mapping[tuple[str, str], int | None]  # pair of sets -> patients in both; None as above
    duplicates: Mapping[str, int]  # set -> images that repeat an earlier one of the set
    dropped: tuple[str, ...]  # training images left out, being test images
    notes: tuple[str, ...]
    png: Path

    def lines(self) -> list[str]:
        """For a terminal."""
        height, width = self.shape
        lines = [
            f"data {self.source}: {width} x {height} pixels, grey, split by {self.split}",
            f"sha256 {self.fingerprint}",
            "",
            f"  {'':12}" + "".join(f"{name:>12}" for name in (*CLASSES, "patients", "duplicates")),
        ]
        for name, counts in self.counts.items():
            numbers = [*(counts[label] for label in CLASSES), self.patients[name], self.duplicates[name]]
            cells = ("unknown" if number is None else f"{number:,}" for number in numbers)
            lines.append(f"  {_WORDS[name]:12}" + "".join(f"{cell:>12}" for cell in cells))
        lines.append("")
        for (a, b), number in self.shared.items():
            shown = "unknown" if number is None else f"{number:,}"
            lines.append(f"  patients in both {_WORDS[a]} and {_WORDS[b]}: {shown}")
        lines.append(f"  training images left out as duplicates of test images: {len(self.dropped)}")
        lines += [f"  note: {note}" for note in self.notes]
        return [*lines, f"contact sheet: {self.png}"]


def show(dataset: Dataset, png: Path | str) -> DatasetSummary:
    """Count what ``dataset`` holds and draw a few images of each set and class to ``png``.

    Raises DataError if ``png`` cannot be written.
    """
    png = Path(png)
    sets = dataset.sets()
    try:
        contact_sheet(dataset).save(png, format="PNG")
    except OSError as error:
        raise DataError(
            f"{png}: cannot be written: {error.strerror or error}.\n  Choose another file"
        ) from error
    known = {name: "" not in images.patients for name, images in sets.items()}
    return DatasetSummary(
        source=dataset.identity.source,
        fingerprint=dataset.identity.fingerprint,
        split=dataset.identity.split,
        shape=(dataset.train.x.shape[1], dataset.train.x.shape[2]),
        counts={
            name: {word: len(images.rows(label)) for label, word in enumerate(CLASSES)}
            for name, images in sets.items()
        },
        patients={name: len(set(images.patients)) if known[name] else None for name, images in sets.items()},
        shared={
            (a, b): len(patients_shared(sets[a], sets[b])) if known[a] and known[b] else None
            for a, b in combinations(sets, 2)
        },
        duplicates={name: len(images) - len(set(pixel_keys(images.x))) for name, images in sets.items()},
        dropped=dataset.dropped,
        notes=dataset.identity.notes,
        png=png,
    )


def contact_sheet(dataset: Dataset) -> Image.Image:
    """A grey picture: a row of images for each set and class, drawn by a fixed seed."""
    sets = dataset.sets()
    rows = len(sets) * len(CLASSES)
    width = _MARGIN + _COLUMNS * (_TILE + _GAP) + _GAP
    sheet = Image.new("L", (width, _HEAD + rows * (_TILE + _GAP) + len(sets) * _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP * 2, _HEAD / 2), dataset.identity.label(), _INK, _font(14), anchor="lm")
    top = _HEAD
    for name, images in sets.items():
        for label, word in enumerate(CLASSES):
            own = images.rows(label)
            pen.text((_GAP * 2, top + _TILE / 2 - 18), _WORDS[name], _INK, _font(15), anchor="lm")
            pen.text((_GAP * 2, top + _TILE / 2), word, _INK, _font(15), anchor="lm")
            pen.text((_GAP * 2, top + _TILE / 2 + 18), f"{len(own):,} images", _FAINT, _font(12), anchor="lm")
            for column, index in enumerate(shuffled(len(own))[:_COLUMNS]):
                left = _MARGIN + column * (_TILE + _GAP)
                sheet.paste(_tile(images, own[index]), (left, top))
            top += _TILE + _GAP
        top += _GAP
    return sheet


def _tile(images: Images, row: int) -> Image.Image:
    return Image.fromarray(np.asarray(images.x[row])).resize((_TILE, _TILE), FILTER)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
