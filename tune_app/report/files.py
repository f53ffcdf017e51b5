"""Files of a report, each written in one stroke: a reader never finds half of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_app.errors import DiskError
from tune_app.sweep.opened_folder import write_atomically


def write_file(path: Path, content: str | bytes) -> Path:
    """Write ``content`` to ``path``, text as UTF-8, making its folder if need be; returns ``path``.

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
    """Have each file written that the disk takes, whichever it refuses.

    Raises:
        DiskError: at the end, where it has refused one.
    """
    _refusals.append([])
    try:
        yield
    finally:
        refusals = _refusals.pop()
    if refusals:
        raise refusals[0]
