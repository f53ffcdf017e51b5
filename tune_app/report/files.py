"""Files of a report, each written in one stroke: a reader never finds half of one."""

from __future__ import annotations

from pathlib import Path

from tune_app.errors import StorageError
from tune_app.record import place


def put(path: Path, content: str | bytes) -> Path:
    """Write ``content`` to ``path``, text as UTF-8, making its folder if need be; returns ``path``.

    Raises:
        StorageError: the disk refused it; a file that was there before is untouched.
        FolderChanged: see `record.place`.
    """
    try:
        place(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}. The record is safe: "
            "make room or access there, and write it again."
        ) from error
    return path
