"""Writes files that can be made again from the record: views in a run folder, and files of a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tune_app.errors import DiskError, StorageError, describe
from tune_app.sweep.opened_folder import write_atomically
from tune_app.text import Notify


def write_view(path: Path, text: str, notify: Notify) -> None:
    """Make a file hold ``text``. A disk that refuses it never ends a sweep: ``notify`` gets a note."""
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
    return f"note: {path}: cannot be written: {why}. The sweep continues; the next session writes this file."


def write_file(path: Path, content: str | bytes) -> Path:
    """Write ``content`` to ``path`` atomically, and create its folder; returns ``path``.

    Raises DiskError outside of ``keep_writing``.
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
    """Within the context, go on to write other files after a DiskError; at the end raise the first."""
    _refusals.append([])
    try:
        yield
    finally:
        refusals = _refusals.pop()
    if refusals:
        raise refusals[0]
