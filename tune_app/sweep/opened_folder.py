"""Identifies the run folder that this process opened, so that nothing is written into another one.

A path may lead to another folder while a sweep trains: the folder is moved, removed, or replaced by another
run's. So code that changes a file of a run calls `verify` first, as `replacing` and `remove` do, after it has
computed what it will write.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_app.errors import FolderChanged, StorageError
from tune_app.sweep.paths import RunPaths

if sys.platform != "win32":
    import fcntl

#: The folders below which this process may write now.
_watched: list[OpenedFolder] = []

#: A folder is removed file by file: what has happened is judged once that may be over.
_SETTLE_S = 0.2


def verify(path: Path) -> None:
    """Call this before a file at ``path`` is changed.

    Raises:
        FolderChanged: ``path`` is in the folder of a run that this process writes, and that folder is not the
            one that was opened.
    """
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
    """Gives a temporary file to write: at the end it replaces ``path``; after an error it is removed.

    Raises:
        FolderChanged: it would go into another folder than the one that was opened.
        OSError: the disk refused it.
    """
    verify(path)
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        partial.replace(path)
    except Exception:
        with suppress(OSError):
            partial.unlink()
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is either complete or absent, and create its folder; raises as ``replacing`` does."""
    verify(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(data)


def remove(path: Path) -> None:
    """Remove a file if it exists; raises as ``replacing`` does."""
    verify(path)
    path.unlink(missing_ok=True)


class OpenedFolder:
    """Device and inode of a run's record and other files; pickled, they are checked by a worker."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.absolute = paths.folder.absolute()  # a task may change the working directory
        self._known: dict[Path, tuple[int, int]] = {}
        self._descriptor: int | None = None
        self.pin(paths.record)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_descriptor": None}

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
    def kept_open(self, flags: int = os.O_RDONLY) -> Iterator[None]:
        """``watched``, with the record kept open: no other file gets its inode, and it is found when moved.

        Raises FolderChanged if it is not the folder that was opened.
        """
        self.verify()
        with ExitStack() as stack:
            if self.paths.record.absolute() in self._known:
                stack.callback(setattr, self, "_descriptor", self._descriptor)
                try:
                    self._descriptor = os.open(self.paths.record, flags)
                except FileNotFoundError:
                    raise self.changed() from None
                stack.callback(os.close, self._descriptor)
                self.verify()
            stack.enter_context(self.watched())
            yield

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """``kept_open``, as the only process that writes the folder.

        The record is locked too, so that removing ``.lock`` does not let a second writer in.

        Raises:
            Timeout: another process is writing.
            OSError: the folder may not be written.
        """
        self.verify()  # before a `.lock` is made in what may be another folder
        lock = self.paths.lock
        with FileLock(lock, timeout=timeout_s), ExitStack() as stack:
            stack.callback(setattr, self, "_known", dict(self._known))
            stack.enter_context(self.kept_open(os.O_RDWR))
            if self._descriptor is not None:
                deadline = time.monotonic() + timeout_s
                while not _flock(self._descriptor):
                    if time.monotonic() > deadline:
                        raise Timeout(str(self.paths.record))
                    time.sleep(0.02)
            self.pin(lock)
            with suppress(OSError):  # then the first checkpoint says what is wrong
                self.paths.checkpoints.mkdir(exist_ok=True)
            self.pin(self.paths.checkpoints)
            yield

    def changed(self) -> FolderChanged:
        """The error that says what happened to the folder, and how to continue."""
        time.sleep(_SETTLE_S)
        changed = [path.name for path, identity in self._known.items() if _identity(path) != identity]
        record, lock = self.paths.record.name, self.paths.lock.name
        subject = "the folder" if {record, lock} <= {*changed} else f"its {' and '.join(changed) or record}"
        happened, there = "moved, removed or replaced", _quoted(self.paths.folder)
        if subject == "the folder" or record in changed:
            place = self._place()
            if place and place.name == record:
                there = _quoted(place.parent)
                happened = f"moved to {there}"
            else:  # of a removed file the path has another name
                there = "FOLDER, which is where it or a copy of it lies now"
                happened = "removed, or moved to another disk" if place else happened
        return FolderChanged(
            f"{self.paths.folder}: {subject} was {happened} while tune-app worked on it. This process has "
            f"ended and has written nothing more.\n  Continue with: tune-app resume {there}"
        )

    def _place(self) -> Path | None:
        """Where the opened record lies now: a path of another name once it is removed; None if unknown."""
        if self._descriptor is None:
            return None
        with suppress(OSError):
            if os.fstat(self._descriptor).st_nlink == 0:
                return Path("removed")
            if sys.platform == "darwin":
                return Path(
                    os.fsdecode(fcntl.fcntl(self._descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
                )
            return Path(f"/proc/self/fd/{self._descriptor}").readlink()
        return None


def in_use(paths: RunPaths) -> bool:
    """Whether a process is writing a run. The check creates no file, and does not block a writer."""
    if sys.platform == "win32":
        try:
            with FileLock(paths.lock, timeout=0.1):
                return False
        except Timeout:
            return True
        except OSError:
            return False
    for path in (paths.record, paths.lock):  # before the record was locked, `.lock` alone was
        with suppress(OSError):  # of a folder that may not be read, nobody can tell us
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if not _flock(descriptor, shared=True):
                    return True
            finally:
                os.close(descriptor)
    return False


def _flock(descriptor: int, shared: bool = False) -> bool:
    """Lock a file until it is closed; returns False if another process has locked it.

    On Windows and on file systems without ``flock``, `.lock` alone counts.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what lies at a path; None where nothing does."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be looked for: {error.strerror}. What is recorded is safe."
        ) from error
    return found.st_dev, found.st_ino


def _quoted(path: Path) -> str:
    """A path for a shell, short where it is below the working directory."""
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))
