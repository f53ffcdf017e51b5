"""Identifies the run folder that this process opened, so that nothing is written into another one.

A path may lead to another folder while a sweep trains: the folder is moved, removed, or replaced by another
run's. So code that changes a file of a run calls `verify` first, as `replacing` and `remove` do, after it has
computed what it will write.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from tune_app.errors import FolderChanged
from tune_app.sweep.paths import RunPaths

if sys.platform != "win32":
    import fcntl

#: The folders below which this process may write now.
_watched: list[OpenedFolder] = []


def verify(path: Path) -> None:
    """Before a file is changed: raise FolderChanged if its run's folder is no longer the one opened."""
    for opened in _around(path):
        opened.verify()


def pin(path: Path) -> None:
    """Remember the identity of the file at ``path``: `verify` fails if another file takes its place."""
    for opened in _around(path):
        opened.pin(path)


def _around(path: Path) -> list[OpenedFolder]:
    here = path.absolute()
    return [opened for opened in list(_watched) if here.is_relative_to(opened.absolute)]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write: at the end it replaces ``path``; after an error it is removed."""
    verify(path)
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        partial.replace(path)
    except Exception:  # whatever the caller's code raises
        with suppress(OSError):
            partial.unlink()
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is complete or absent, and create its folder; raises FolderChanged, OSError."""
    verify(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(data)


def remove(path: Path) -> None:
    """Remove a file if it exists; raises FolderChanged, OSError."""
    verify(path)
    path.unlink(missing_ok=True)


class OpenedFolder:
    """Device and inode of a run's record and other files; pickled, they are checked by a worker."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.absolute = paths.folder.absolute()  # a task may change the working directory
        self._known: dict[Path, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self.pin(paths.record)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def pin(self, path: Path) -> None:
        """Remember the identity of the file or folder at ``path``, if it exists."""
        if found := _identity(path):
            self._known[path.absolute()] = found

    def verify(self) -> None:
        """Raise FolderChanged unless every pinned path still leads to the same file."""
        if any(_identity(path) != identity for path, identity in list(self._known.items())):
            raise self.changed()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the context, check each change below the folder, in every thread."""
        _watched.append(self)
        try:
            yield
        finally:
            _watched.remove(self)

    @contextmanager
    def kept_open(self, mode: str = "rb") -> Iterator[None]:
        """``watched``, with the record kept open, so that no other file gets its inode."""
        self.verify()
        with ExitStack() as stack:
            if self.paths.record.absolute() in self._known:
                stack.callback(setattr, self, "_file", self._file)
                try:
                    self._file = stack.enter_context(self.paths.record.open(mode))
                except FileNotFoundError:
                    raise self.changed() from None
                self.verify()
            stack.enter_context(self.watched())
            yield

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """``kept_open``, as the only process that writes the folder; raises Timeout, OSError.

        The record is locked too, so that removing ``.lock`` does not let a second writer in.
        """
        self.verify()  # before a `.lock` is made in what may be another folder
        with FileLock(self.paths.lock, timeout=timeout_s), ExitStack() as stack:
            stack.callback(setattr, self, "_known", dict(self._known))
            stack.enter_context(self.kept_open("r+b"))
            deadline = time.monotonic() + timeout_s
            while self._file and not _flock(self._file):
                if time.monotonic() > deadline:
                    raise Timeout(str(self.paths.record))
                time.sleep(0.02)
            with suppress(OSError):  # then the first checkpoint says what is wrong
                self.paths.checkpoints.mkdir(exist_ok=True)
            self.pin(self.paths.lock)
            self.pin(self.paths.checkpoints)
            yield

    def changed(self) -> FolderChanged:
        """The error that names the files of the folder that are no longer those that were opened."""
        changed = [path.name for path, identity in self._known.items() if _identity(path) != identity]
        return FolderChanged(
            f"{self.paths.folder}: its {' and '.join(changed) or 'record'} was moved, removed or "
            "replaced while tune-app worked on it. This process has ended and has written nothing more.\n"
            "  Continue with: tune-app resume FOLDER, where FOLDER is the place of the folder or of a copy."
        )


def in_use(paths: RunPaths) -> bool:
    """Whether a process is writing a run. The check creates no file, and does not block a writer."""
    try:
        if sys.platform == "win32":
            with FileLock(paths.lock, timeout=0.1):
                return False
        with paths.record.open("rb") as file:
            return not _flock(file, shared=True)
    except Timeout:
        return True
    except OSError:  # of a folder that may not be read, nobody can tell
        return False


def _flock(file: IO[bytes], shared: bool = False) -> bool:
    """Lock a file until it is closed; returns False if another process has locked it.

    On Windows and on file systems without ``flock``, `.lock` alone counts.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what lies at a path; None where nothing does, or where it cannot be reached."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
