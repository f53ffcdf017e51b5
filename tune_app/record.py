"""The append-only record of a sweep: one JSON event a line, one writer, nothing ever rewritten.

Whatever else a run folder holds (CSV files, reports, an Optuna study) is a view that can be made
again from ``record.jsonl`` and ``test_scores.bin``.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tune_app.errors import DiskError, RunError
from tune_app.opened_folder import know, verify

Event = dict[str, Any]

#: Receives each group of lines once it is safely on this disk: the seam for copies on shared storage.
Mirror = Callable[[bytes], None]

_SYNC_EVERY_S = 1.0


class Record:
    """Writes events to ``record.jsonl``.

    An event written with ``durable=True`` is on the disk (fsync) before ``append`` returns; the others
    reach the disk in groups, at most a second later, and survive the death of this process at once.

    Raises:
        DiskError: when the disk refuses a write; every event before it is kept.
    """

    def __init__(self, path: Path, mirror: Mirror | None = None) -> None:
        self._path = path
        self._mirror = mirror
        self._unsynced: list[bytes] = []
        self._synced_at = time.monotonic()
        with _storage(path):
            _cut_torn_tail(path)
            self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> Event:
        """Write one event, stamped with the time ``t`` (seconds since 1970), and return it."""
        entry: Event = {"event": event, "t": round(time.time(), 3), **fields}
        line = (json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n").encode()
        with _storage(self._path):
            _write_whole(self._file, line)
        self._unsynced.append(line)
        if durable:
            self.sync()
        else:
            self.sync_if_due()
        return entry

    def due(self) -> bool:
        """Whether the last sync is a second ago."""
        return time.monotonic() - self._synced_at >= _SYNC_EVERY_S

    def sync_if_due(self) -> None:
        """Sync when the oldest unsynced event may be a second old; called from the engine's loop."""
        if self._unsynced and self.due():
            self.sync()

    def sync(self) -> None:
        """Put every event so far on the disk, and hand the group to the mirror."""
        with _storage(self._path):
            os.fsync(self._file.fileno())
        group, self._unsynced = b"".join(self._unsynced), []
        self._synced_at = time.monotonic()
        if self._mirror and group:
            self._mirror(group)

    def close(self) -> None:
        """Sync and close; a closed record takes no more events."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()


def read(path: Path, start: int = 0) -> Iterator[tuple[int, Event]]:
    """Yield ``(offset_after, event)`` for each whole line from byte ``start`` on.

    A last line without its newline was torn by a crash, or is being written right now: it is left out.

    Raises:
        RunError: for a record that is missing or damaged before its last line.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RunError(f"{path}: cannot read the record of this run: {error.strerror}") from error
    with file:
        file.seek(start)
        offset = start
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
                event["event"]
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{path}: damaged at byte {offset - len(line)}: not a JSON event: {line[:60]!r}.\n"
                    "  Restore the file from a copy, or cut it before that byte to go on from there."
                ) from error
            yield offset, event


@contextmanager
def uncollected() -> Iterator[None]:
    """For reading a long record: what is made of it stays, and looking for garbage in it only costs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def place(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there; its folder is made.

    Raises:
        FolderChanged: it would go into another folder than the one that was opened.
        OSError: the disk refused it.
    """
    verify(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def remove(path: Path) -> None:
    """Remove a file, if it is there; raises as ``place`` does."""
    verify(path)
    path.unlink(missing_ok=True)


def extend(path: Path, end: int, lines: bytes) -> None:
    """Write lines to a record from byte ``end`` on, durably; raises as ``place`` does."""
    verify(path)
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


class Scores:
    """Test scores of finished trials: rows of little-endian float32 in one append-only file.

    Each row is one replicate's score for every test image, shape (N,) or (N, C). The record's
    ``finished`` event holds where the rows of its replicates lie, so a tail that was torn by a crash
    belongs to no trial.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, rows: bytes, shape: Sequence[int]) -> Event:
        """Add rows (R, N) or (R, N, C) as raw ``<f4`` bytes, durably; returns their place."""
        verify(self.path)
        with _storage(self.path), self.path.open("ab", buffering=0) as file:
            offset = file.tell()
            _write_whole(file, rows)
            os.fsync(file.fileno())
        know(self.path)  # scores at the same place of another file would be taken for these
        return {"offset": offset, "shape": list(shape)}

    def read(self, place: Mapping[str, Any]) -> bytes:
        """The raw bytes at ``place``, to be read as ``<f4`` with ``place["shape"]``."""
        size_bytes = 4
        for length in place["shape"]:
            size_bytes *= length
        try:
            with self.path.open("rb") as file:
                file.seek(place["offset"])
                rows = file.read(size_bytes)
        except OSError as error:
            raise RunError(f"{self.path}: cannot read the test scores: {error.strerror}") from error
        if len(rows) != size_bytes:
            raise RunError(
                f"{self.path}: too short: {size_bytes} bytes of test scores belong at byte "
                f"{place['offset']}, {len(rows)} are there. Restore the file from a copy."
            )
        return rows


class _storage:  # noqa: N801 - reads as a statement: with _storage(path): ...
    """Turns an OSError of a write into a DiskError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise DiskError(
                f"{self._path}: cannot be written: {error.strerror}. Everything recorded before is safe."
            ) from error


def _write_whole(file: IO[bytes], data: bytes) -> None:
    """Append all of ``data``, or leave the file as it was: half a line would damage the one after it."""
    end, view = file.tell(), memoryview(data)
    try:
        while view:  # an unbuffered write may be short, on a nearly full disk for one
            view = view[file.write(view) :]
    except OSError:
        file.truncate(end)
        file.seek(end)
        raise


def _cut_torn_tail(path: Path) -> None:
    """Drop a last line without newline, so that the next event starts on a line of its own."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep, position = 0, end
        while position > 0 and not keep:
            step = min(position, 1 << 16)
            position = file.seek(position - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                keep = position + newline + 1
        if keep != end:
            file.truncate(keep)
