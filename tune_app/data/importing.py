"""An image folder turned into the course's layout, once, so that later loads take a second."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tune_app.data import course, folder, meta, split
from tune_app.data.images import CLASSES, Pool
from tune_app.data.pixels import FILTER
from tune_app.data.source import check_size
from tune_app.errors import DataError
from tune_app.version import __version__


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote."""

    out: Path
    image_size: int
    counts: Mapping[str, int]  # "train/normal.npy": 1000
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def import_folder(
    source: Path | str, out: Path | str, *, image_size: int = folder.DEFAULT_SIZE, everything: bool = False
) -> ImportResult:
    """Write the images of ``source`` to the new folder ``out``: four arrays and a meta.json.

    All or nothing: ``out`` appears under its name only when it is complete. Raises DataError if ``out``
    exists or cannot be written, or for whatever ``load`` would refuse in ``source``.
    """
    source, out = Path(source), Path(out)
    check_size(image_size)
    if out.exists():
        raise DataError(
            f"{out}: exists, and an import never overwrites.\n  Choose another --out, or remove it"
        )
    if not folder.is_image_folder(source):
        raise DataError(
            f"{source}: not an image folder; it must hold train/NORMAL, train/PNEUMONIA, test/NORMAL and "
            "test/PNEUMONIA.\n  Name the folder that holds train and test"
        )
    pool = folder.read(source, image_size, everything)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        files = _write_arrays(partial, pool)
        about = meta.Meta(
            tune_app=__version__,
            source=source.resolve().name,
            image_size=image_size,
            resize_filter=FILTER.name.lower(),
            draw_seed=split.SEED,
            everything=everything,
            dropped=list(pool.dropped),
            notes=list(pool.notes),
            files=files,
        )
        (partial / meta.NAME).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written: {error.strerror}.\n  Free some space, or choose another --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    counts = {name: len(file.names) for name, file in files.items()}
    return ImportResult(out, image_size, counts, pool.dropped, pool.notes)


def _write_arrays(out: Path, pool: Pool) -> dict[str, meta.FileMeta]:
    files = {}
    for name, images in (("train", pool.train), ("test", pool.test)):
        (out / name).mkdir()
        for label in range(len(CLASSES)):
            part = images.take(images.rows(label))
            path = out / course.file_of(name, label)
            np.save(path, part.x, allow_pickle=False)
            files[course.file_of(name, label)] = meta.FileMeta(
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                names=list(part.names),
                patients=list(part.patients),
            )
    return files
