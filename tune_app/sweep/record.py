"""The append-only record of a sweep: one JSON event a line, one writer, nothing ever rewritten.

Whatever else a run folder holds (CSV files, reports, an Optuna study) is a view that can be made
again from ``record.jsonl`` and ``test_scores.bin``.

The first event has ``version: 2``, which says that each line ends with a checksum: ``,"crc":"01234567"}``,
the CRC-32 of this line and all lines before it, of each only what precedes ``,"crc"``. So a line that was
changed, dropped, doubled or moved is noticed, and the error names the byte at which it begins. The removal of
whole lines at the end cannot be noticed: what is left is the record as it was earlier. Records of version 1
have no checksums; they are read and continued without.
"""

from __future__ import annotations

import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from msgspec.structs import replace

from tune_app.errors import DiskError, RunError
from tune_app.sweep.event_lines import load, plain
from tune_app.sweep.events import Created, Event, EventError, ScoreRows
from tune_app.sweep.opened_folder import pin, verify
from tune_app.sweep.paths import open_plain

#: The version of new records.
VERSION = 2

#: Size limit of a line, in bytes.
LONGEST = 64 << 20

#: Called with each group of lines after they are synced to this disk, to copy them to shared storage.
Mirror = Callable[[bytes], None]

_SYNC_EVERY_S = 1.0

_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class Position(NamedTuple):
    """A place between two lines: in bytes, with the record's version (0 before its header) and checksum."""

    offset: int = 0
    version: int = 0
    crc: int = 0


START = Position()


class Record:
    """Writes events to ``record.jsonl``.

    An event written with ``durable=True`` is on the disk (fsync) before ``append`` returns; the others
    reach the disk in groups, at most a second later, and survive the death of this process at once.

    Args:
        path: the file; where it is new, the first event makes it.
        mirror: receives the lines.
        at: where it ends, as it was read. A torn line after that is cut.
        check: called before each write to the disk, and at least once a second while ``sync_if_due`` is.

    Raises DiskError when the disk refuses a write; every event before it is kept.
    """

    def __init__(
        self,
        path: Path,
        mirror: Mirror | None = None,
        at: Position = START,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._mirror, self._check = mirror, check
        self._unsynced: list[bytes] = []
        self._synced_at = time.monotonic()
        #: Where it ends.
        self.position = at if at.version else at._replace(version=VERSION)
        with ExitStack() as stack:
            stack.enter_context(_refusals_explained(path))
            self._file: IO[bytes] = stack.enter_context(path.open("ab+", buffering=0))
            end = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(at.offset, end))
            if end < at.offset or b"\n" in self._file.read():
                raise RunError(f"{path}: another process has changed the record since it was read.")
            if end > at.offset:  # a torn line
                self._file.truncate(at.offset)
                self._file.seek(at.offset)
            stack.pop_all()

    def append(self, event: Event, *, durable: bool = False) -> Event:
        """Write one event, stamped with the time ``t``, and return it."""
        event = replace(event, t=round(time.time(), 3))
        offset, version, crc = self.position
        body, end = _ENCODE(plain(event)).encode()[:-1], b"}\n"
        if version == VERSION:
            crc = zlib.crc32(body, crc)
            end = _seal(crc)
        line = body + end
        if len(line) > LONGEST:
            raise RunError(f"{self._path}: an event of more than {LONGEST >> 20} MiB cannot be recorded.")
        if durable:
            self._check()
        with _refusals_explained(self._path):
            _write_whole(self._file, line)
        self.position = Position(offset + len(line), version, crc)
        self._unsynced.append(line)
        if durable:
            self.sync()
        else:
            self.sync_if_due()
        return event

    def sync_if_due(self) -> None:
        """Sync when the oldest unsynced event may be a second old; called from the engine's loop."""
        if time.monotonic() - self._synced_at >= _SYNC_EVERY_S:
            self._check()
            if self._unsynced:
                self.sync()
            self._synced_at = time.monotonic()

    def sync(self) -> None:
        """Sync every event to the disk, and pass the new ones to the mirror."""
        with _refusals_explained(self._path):
            os.fsync(self._file.fileno())
        group, self._unsynced = b"".join(self._unsynced), []
        self._synced_at = time.monotonic()
        if self._mirror and group:
            self._mirror(group)

    def close(self) -> None:
        """Sync and close."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()


def _seal(crc: int) -> bytes:
    """The end of a line: its checksum, which later checksums do not include."""
    return b',"crc":"%08x"}\n' % crc


_SEAL_BYTES = len(_seal(0))


def read(path: Path, at: Position = START) -> Iterator[tuple[Position, Event]]:
    """Yield each event from ``at`` on, with the position after it; RunError names the byte of damage.

    A last line without newline was cut off by a crash, or is being written now: it is left out.
    """
    try:
        file = open_plain(path)
    except OSError as error:
        raise RunError(f"{path}: cannot read the record of this run: {error.strerror}") from error
    with file:
        file.seek(at.offset)
        yield from parse(iter(partial(file.readline, LONGEST + 1), b""), str(path), at)


def parse(lines: Iterable[bytes], label: str, at: Position = START) -> Iterator[tuple[Position, Event]]:
    """``read`` for lines from any source; ``label`` is their name in errors."""
    for line in lines:
        if len(line) > LONGEST:
            raise damage_error(label, at, f"a line of more than {LONGEST >> 20} MiB", line)
        if not line.endswith(b"\n"):
            # A line is written from its start: what is whole but for its newline had another last byte.
            if at.version != 1 and _sealed(line[:-1] + b"\n", at.crc):
                raise damage_error(label, at, "its line does not end with a newline", line)
            return
        try:
            at, event = _next(line, at)
        except EventError as error:
            raise damage_error(label, at, str(error), line) from error
        yield at, event


def _next(line: bytes, at: Position) -> tuple[Position, Event]:
    """The event of a line, and the position after it."""
    body, version = line[:-_SEAL_BYTES], at.version
    sealed = version != 1 and _sealed(line, at.crc)
    if version == VERSION and not sealed:
        raise EventError(_UNSEALED)
    event = load(body + b"}") if sealed else load(line, strict=False)
    if version == 0:
        if not isinstance(event, Created):
            raise EventError("holds no sweep: the first event must be `created`")
        version = event.version
        if version not in (1, VERSION):
            raise EventError(f"version {version}; this tune-app reads versions 1 and {VERSION}")
        if sealed != (version == VERSION):
            raise EventError(_UNSEALED)
    elif isinstance(event, Created):
        raise EventError("a second header")
    return Position(at.offset + len(line), version, zlib.crc32(body, at.crc) if sealed else 0), event


def _sealed(line: bytes, crc: int) -> bool:
    """Whether a line ends with the checksum that follows from that of the lines before."""
    return line.endswith(_seal(zlib.crc32(line[:-_SEAL_BYTES], crc)))


_UNSEALED = "its checksum does not follow from this line and those before it"


def damage_error(label: str, at: Position, why: str, line: bytes = b"") -> RunError:
    """The error for a line that cannot be read."""
    shown = f": {line[:60]!r}" if line else ""
    cut = ", or cut it before that byte to continue from there" if at.offset else ""
    return RunError(
        f"{label}: damaged at byte {at.offset}: {why}{shown}.\n  Restore the file from a copy{cut}."
    )


class Scores:
    """Test scores of finished trials: rows of little-endian float32 in one append-only file.

    Each row is one replicate's score for every test image, shape (N,) or (N, C). The ``finished`` event says
    where its rows lie, so a tail that was torn by a crash belongs to no trial.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, rows: bytes, shape: Sequence[int]) -> ScoreRows:
        """Append rows (R, N) or (R, N, C) as raw ``<f4`` bytes, and sync; returns where they are."""
        verify(self.path)
        with _refusals_explained(self.path), self.path.open("ab", buffering=0) as file:
            offset = file.tell()
            _write_whole(file, rows)
            os.fsync(file.fileno())
        pin(self.path)  # scores at the same place of another file would be taken for these
        return ScoreRows(offset, tuple(shape), zlib.crc32(rows))

    def read(self, rows: ScoreRows) -> bytes:
        """The raw bytes of ``rows``, to be read as ``<f4``; raises RunError if missing or damaged."""
        size_bytes, found = 4 * math.prod(rows.shape), b""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                if rows.offset + size_bytes <= end:
                    file.seek(rows.offset)
                    found = file.read(size_bytes)
        except OSError as error:
            raise RunError(f"{self.path}: cannot read the test scores: {error.strerror}") from error
        if len(found) != size_bytes:
            problem = f"too short: it ends at byte {end}"
        elif rows.crc32 is not None and zlib.crc32(found) != rows.crc32:
            problem = "damaged: they are not those that were recorded"
        else:
            return found
        name = self.path.parent.name
        raise RunError(
            f"{self.path}: cannot read {size_bytes} bytes of test scores at byte {rows.offset}: {problem}. "
            f"Restore the file from a copy. Without it, tune-app show {name} has the metrics, and tune-app "
            f"confirm {name} trains the best again."
        )


@contextmanager
def _refusals_explained(path: Path) -> Iterator[None]:
    """Turns an OSError of a write into a DiskError."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be written: {error.strerror}. Everything recorded before is safe."
        ) from error


def _write_whole(file: IO[bytes], data: bytes) -> None:
    """Append all of ``data``, or leave the file unchanged: half a line would damage the next one."""
    end, view = file.tell(), memoryview(data)
    try:
        while view:  # an unbuffered write may be short, on a nearly full disk for one
            view = view[file.write(view) :]
    except OSError:
        file.truncate(end)
        file.seek(end)
        raise
