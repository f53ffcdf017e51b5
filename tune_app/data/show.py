"""What a dataset is, in numbers and in a contact sheet."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tune_app.data.images import CLASSES, FILTER, Dataset, Images, patients_shared, pixel_keys, shuffled
from tune_app.errors import DataError

_COLUMNS = 6  # images of each class and set
_TILE, _GAP, _MARGIN, _HEAD = 128, 6, 120, 34  # pixels
_PAPER, _INK, _FAINT = 255, 20, 110  # grey levels
_WORDS = {"train": "training", "val": "validation", "test": "test"}


def show(dataset: Dataset, png: Path | str) -> list[str]:
    """Draw a few images of each set and class to ``png``; returns what ``dataset`` holds, for a terminal.

    Raises DataError if ``png`` cannot be written.
    """
    try:
        contact_sheet(dataset).save(png, format="PNG")
    except OSError as error:
        raise DataError(
            f"{png}: cannot be written: {error.strerror or error}.\n  Choose another file"
        ) from error
    identity, sets = dataset.identity, dataset.sets()
    height, width = dataset.train.x.shape[1:]
    lines = [
        f"data {identity.source}: {width} x {height} pixels, grey, split by {identity.split}",
        f"sha256 {identity.fingerprint}",
        "",
        f"  {'':12}" + "".join(f"{name:>12}" for name in (*CLASSES, "patients", "duplicates")),
    ]
    for name, images in sets.items():
        counts = [len(images.rows(label)) for label in range(len(CLASSES))]
        duplicates = len(images) - len(set(pixel_keys(images.x)))
        cells = [*(f"{count:,}" for count in counts), _number(images.patients, images), f"{duplicates:,}"]
        lines.append(f"  {_WORDS[name]:12}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append("")
    for (a, one), (b, other) in combinations(sets.items(), 2):
        shared = _number(patients_shared(one, other), one, other)
        lines.append(f"  patients in both {_WORDS[a]} and {_WORDS[b]}: {shared}")
    lines.append(f"  training images left out as duplicates of test images: {len(dataset.dropped)}")
    return [*lines, *(f"  note: {note}" for note in identity.notes), f"contact sheet: {png}"]


def _number(patients: Collection[str], *sets: Images) -> str:
    """The number of different patients, where all images of the sets name theirs."""
    return "unknown" if any("" in images.patients for images in sets) else f"{len(set(patients)):,}"


def contact_sheet(dataset: Dataset) -> Image.Image:
    """A grey picture: a row of images for each set and class, drawn by a fixed seed."""
    sets = dataset.sets()
    rows = len(sets) * len(CLASSES)
    width = _MARGIN + _COLUMNS * (_TILE + _GAP) + _GAP
    sheet = Image.new("L", (width, _HEAD + rows * (_TILE + _GAP) + len(sets) * _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP * 2, _HEAD / 2), dataset.identity.label(), _INK, ImageFont.load_default(14), anchor="lm")
    top = _HEAD
    for name, images in sets.items():
        for label, word in enumerate(CLASSES):
            own = images.rows(label)
            texts = ((_WORDS[name], _INK, 15), (word, _INK, 15), (f"{len(own):,} images", _FAINT, 12))
            for line, (text, grey, size) in enumerate(texts):
                place = (_GAP * 2, top + _TILE / 2 + 18 * (line - 1))
                pen.text(place, text, grey, ImageFont.load_default(size), anchor="lm")
            for column, index in enumerate(shuffled(len(own))[:_COLUMNS]):
                tile = Image.fromarray(images.x[own[index]]).resize((_TILE, _TILE), FILTER)
                sheet.paste(tile, (_MARGIN + column * (_TILE + _GAP), top))
            top += _TILE + _GAP
        top += _GAP
    return sheet
