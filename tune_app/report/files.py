"""Files of a report, each written in one stroke: a reader never finds half of one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tune_app.errors import StorageError


def put(path: Path, content: str | bytes) -> Path:
    """Write ``content`` to ``path``, text as UTF-8, making its folder if need be; returns ``path``.

    Raises:
        StorageError: the disk refused it; a file that was there before is untouched.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}. The record is safe: "
            "make room or access there, and write it again."
        ) from error
    return path
