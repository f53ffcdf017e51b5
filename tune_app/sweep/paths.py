"""Run folders: the names of the files in one, how one is found, how a new one is made."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tune_app.errors import DiskError, FolderChanged, RunError, disk_is_full, nearest

#: As the place of a run's storage: nowhere but in its folder.
NO_STORAGE = "none"


class RunPaths:
    """Every file name of a run folder, in one place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space = folder / "space.yaml"
        self.record = folder / "record.jsonl"
        self.scores = folder / "test_scores.bin"
        self.test_images = folder / "test_images.csv"
        self.provenance = folder / "provenance.json"
        self.results = folder / "results.csv"
        self.seeds = folder / "seeds.csv"
        self.curves = folder / "curves.csv"
        self.summary = folder / "summary.json"
        self.report = folder / "report"
        self.logs = folder / "logs"
        self.control = folder / "control"
        self.checkpoints = folder / "checkpoints"
        self.study = folder / "study.db"
        self.lock = folder / ".lock"

    def log(self, trial: str) -> Path:
        """What a trial that has ended has printed, and the traceback of one that failed."""
        return self.logs / f"{trial}.log"

    def output(self, sample: int, replicate: int, before: int) -> Path:
        """What a trial prints while it trains; ``before``: earlier trials of its first replicate."""
        return self.logs / f"{sample:d}-{replicate:d}-{before:d}.out"


def state_folder() -> Path:
    """Where tune-app keeps what is this user's own; raises RuntimeError for a user without a home folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "tune-app"


def is_run(folder: Path) -> bool:
    """Whether there is a run in ``folder``; no name is too odd to ask."""
    record = RunPaths(folder).record
    try:
        return record.is_file() or record.is_symlink()  # a link is refused when the run is opened
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False


def open_plain(path: Path) -> io.BufferedReader:
    """A file, to be read: no link is followed, and no pipe waited at; raises OSError for those."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return io.BufferedReader(io.FileIO(number))


def check_contained(folder: Path, written: bool = False) -> None:
    """Refuse with a RunError a folder of a run in which a name leads elsewhere: it may come from a stranger.

    If it is to be ``written``, a file with a second name, a hard link, is refused too.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False) or (
                        written and entry.stat(follow_symlinks=False).st_nlink > 1
                    ):
                        raise RunError(
                            f"{entry.path}: is a link, a hard link or no file. All files of a run lie in its "
                            "folder. Put a copy there, or remove it."
                        )
        except (FileNotFoundError, NotADirectoryError):  # it was not there, or was removed meanwhile
            continue
        except PermissionError as error:
            raise RunError(f"{error.filename}: cannot be read: {error.strerror}.") from error


def find_runs(runs_dir: Path | str) -> list[Path]:
    """The run folders in ``runs_dir``, newest first."""
    root = Path(runs_dir)
    if not root.is_dir():
        return []
    folders = [folder for folder in root.iterdir() if is_run(folder)]
    return sorted(folders, key=lambda folder: RunPaths(folder).record.lstat().st_mtime, reverse=True)


def find_run(name: str, runs_dir: Path | str) -> Path:
    """The folder of a run given by its path or its name; a RunError names the nearest one."""
    for folder in (Path(name), Path(runs_dir) / name):
        if is_run(folder):
            return folder
    raise RunError(no_such_run(Path(runs_dir) / name))


def no_such_run(folder: Path) -> str:
    """The message for a folder without a run; names the nearest run."""
    names = [run.name for run in find_runs(folder.parent)]
    there = f"there are: {', '.join(names[:8])}" if names else "there are none yet"
    return f'no run called "{folder.name}" in {folder.parent}.{nearest(folder.name, names)}\n  {there}'


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")


@contextmanager
def new_folder(runs_dir: Path, name: str | None, stem: str, taken: Collection[str]) -> Iterator[Path]:
    """A folder for a new run, which no other process makes into one meanwhile.

    Without a ``name`` it is ``stem-1``, ``stem-2``, ..., but none that is ``taken`` elsewhere.
    """
    paths = RunPaths(_make_folder(runs_dir, name, stem, taken))
    try:
        check_contained(paths.folder, written=True)
        with FileLock(paths.lock, timeout=0):
            known = {paths.space.name, paths.lock.name, f"{paths.record.name}.part"}
            if any(path.name not in known for path in paths.folder.iterdir()):
                raise _no_run(paths.folder)
            yield paths.folder
    except Timeout:
        raise _no_run(paths.folder) from None
    except FileNotFoundError as error:
        raise FolderChanged(
            f"{paths.folder}: the folder was moved or removed while it was made. Give the command again."
        ) from error
    except (OSError, DiskError):
        with suppress(OSError):  # a folder with anything else in it stays
            paths.lock.unlink(missing_ok=True)
            paths.folder.rmdir()
        raise


def _make_folder(runs_dir: Path, name: str | None, stem: str, taken: Collection[str]) -> Path:
    if name is not None and not _NAME.fullmatch(name):
        raise RunError(
            f'--name "{name}": a run\'s name is up to 100 letters, digits, and any of _ . + - '
            "(no slash or space; it does not start with a dot or a dash)."
        )
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        if name is not None:
            (runs_dir / name).mkdir(exist_ok=True)
            return runs_dir / name
        number = 0
        while True:
            number += 1
            folder = runs_dir / f"{stem}-{number}"
            with suppress(FileExistsError):
                if folder.name not in taken:
                    folder.mkdir()
                    return folder
    except FileExistsError as error:
        raise _no_run(error.filename) from error
    except OSError as error:
        if disk_is_full(error):
            raise
        raise RunError(
            f"{error.filename or runs_dir}: the runs folder cannot be written: {error.strerror}. "
            "Give another folder with --runs-dir."
        ) from error


def _no_run(path: Path) -> RunError:
    return RunError(f"{path}: exists and is not a run folder. Give another --name or --runs-dir.")
