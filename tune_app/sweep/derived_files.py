"""Files of a run folder that are derived from the record or from the data.

A disk that refuses one never ends a sweep: the file is left out with a note, and the next session writes it.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from pathlib import Path

from tune_app.errors import StorageError, describe
from tune_app.sweep import Sweep
from tune_app.sweep.opened_folder import write_atomically
from tune_app.text import Notify


def write(path: Path, text: str, notify: Notify) -> None:
    """Make a file hold ``text``. If the disk refuses it, ``notify`` is called with a note."""
    data = text.encode()
    with suppress(OSError):
        if path.read_bytes() == data:
            return
    try:
        write_atomically(path, data)
    except OSError as error:
        notify(not_written(path, error))


def not_written(path: Path, error: Exception) -> str:
    """The note for a view that cannot be written."""
    if isinstance(error, StorageError):
        return f"note: {error}"
    why = error.strerror if isinstance(error, OSError) and error.strerror else describe(error)
    return f"note: {path}: cannot be written: {why}. The sweep goes on; the next session writes this file."


def restore(sweep: Sweep, notify: Notify) -> None:
    """Write ``space.yaml`` and ``provenance.json`` as the record has them."""
    write(sweep.paths.space, sweep.space_yaml, notify)
    if sweep.history.openings:
        text = json.dumps(sweep.history.openings[0].provenance, indent=2)
        write(sweep.paths.provenance, f"{text}\n", notify)


def test_images_edited(sweep: Sweep, images: bytes) -> bool:
    """Whether the content of ``test_images.csv`` is other than recorded; False where nothing is."""
    written = [opened.test_images_crc32 for opened in sweep.history.openings]
    known = [crc32 for crc32 in written if crc32 is not None]
    return bool(known) and zlib.crc32(images) != known[-1]
