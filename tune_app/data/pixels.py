"""Image files and array stacks brought to one size, in grey."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tune_app.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")
FORMATS = ("JPEG", "PNG")
# Pillow's bilinear filter widens its support when it shrinks, so large films are averaged, not sampled.
FILTER = Image.Resampling.BILINEAR


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """A file as grey pixels (size, size); the sides are scaled each on its own, as in the course's files.

    Raises DataError for what is no readable JPEG or PNG.
    """
    try:
        with warnings.catch_warnings():
            # Twice as many pixels are an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return np.asarray(_grey(image).resize((size, size), FILTER))
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


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits a pixel: Pillow's own conversion would clip at 255 instead of scaling.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L")
