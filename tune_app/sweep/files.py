"""Writes files of a report atomically."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_app.errors import DiskError
from tune_app.sweep.opened_folder import write_atomically


def write_file(path: Path, content: str | bytes) -> Path:
    """Write ``content`` to ``path``, text as UTF-8; creates its folder; returns ``path``.

    Raises:
        DiskError: the disk refused it, outside of ``keep_writing``; a file that was there is untouched.
        FolderChanged: see `opened_folder.replacing`.
    """
    try:
        write_atomically(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        refusal = DiskError(f"{path}: cannot be written: {error.strerror}.")
        if not _refusals:
            raise refusal from error
        _refusals[-1].append(refusal)
    return path


_refusals: list[list[DiskError]] = []


@contextmanager
def keep_writing() -> Iterator[None]:
    """Within the context, go on to write the other files after the disk has refused one.

    Raises:
        DiskError: at the end, the first refusal.
    """
    _refusals.append([])
    try:
        yield
    finally:
        refusals = _refusals.pop()
    if refusals:
        raise refusals[0]
